//! Linearizability: whether all that clients were told of one record can be explained by one order of their calls, in which each takes effect at one
//! instant between its begin and its answer.
//!
//! The record is a register with versions: it is absent, or it has a version and a value. A call without an answer may have taken effect at
//! any instant after its begin, or never. The search is that of Wing and Gong with Lowe's memory of what was tried. It takes its time where very many calls
//! overlap or have no answer, so histories should be short, and it gives up beyond a limit. Knows no cluster and no clock.

use std::collections::HashSet;
use std::fmt;

/// Situations that are looked into before it gives up: some hundred MiB.
const MOST_SITUATIONS: usize = 2_000_000;
/// Calls that a finding names.
const EXAMPLES: usize = 6;

/// What a client asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// What is there?
    Read,
    /// Make it this, if the version there is the expected one; 0: if nothing is there.
    Write {
        /// The version.
        expected: u64,
        /// Written once only, so that a read tells who has written it.
        value: u64,
    },
    /// Remove it.
    Delete,
}

/// What it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of a read: this is there.
    Found {
        /// Its version.
        version: u64,
        /// Its value.
        value: u64,
    },
    /// Of a read or a delete: nothing is there.
    Nothing,
    /// Of a write: done, and this is its version.
    Written {
        /// One more than was expected.
        version: u64,
    },
    /// Of a write: another version is there.
    Conflict,
    /// Of a delete: it is not there any more. (Asked again within the cluster, a delete may be told so of what another one removed.)
    Deleted,
}

/// One call of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was asked.
    pub call: Call,
    /// When, in microseconds of one clock of all clients.
    pub began_us: u64,
    /// What was told, and when it was read; none where no answer came, or one that says nothing.
    pub answer: Option<(Answer, u64)>,
}

/// What comes of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is such an order.
    Explained,
    /// There is none; the text says how far the best one goes.
    Impossible(String),
    /// Too many orders are possible to try them all.
    Undecided,
}

/// Version and value; none: absent.
type Record = Option<(u64, u64)>;

/// Judges the history of one record that is absent at first. Operations may stand in any order.
pub fn judge(history: &[Operation]) -> Finding {
    // A read without an answer tells nothing.
    let mut operations: Vec<Operation> =
        history.iter().filter(|one| one.answer.is_some() || one.call != Call::Read).copied().collect();
    operations.sort_by_key(|one| one.began_us);
    let mut open = vec![Situation::first(operations.len())];
    let mut seen = HashSet::new();
    let mut best: Option<Situation> = None;
    while let Some(situation) = open.pop() {
        if situation.is_end(&operations) {
            return Finding::Explained;
        }
        if seen.len() == MOST_SITUATIONS {
            return Finding::Undecided;
        }
        if !seen.insert(situation.clone()) {
            continue;
        }
        for place in situation.candidates(&operations) {
            if let Some(record) = step(situation.record, &operations[place]) {
                open.push(situation.with(place, record));
            }
        }
        if best.as_ref().is_none_or(|best| best.count() < situation.count()) {
            best = Some(situation);
        }
    }
    Finding::Impossible(best.map_or_else(String::new, |best| best.explain(&operations)))
}

/// The record after an operation; none where it can't take effect now, or would change nothing and needn't be told.
fn step(record: Record, operation: &Operation) -> Option<Record> {
    let version = record.map_or(0, |(version, _)| version);
    let told = operation.answer.map(|(answer, _)| answer);
    match (operation.call, told) {
        (Call::Read, Some(Answer::Found { version, value })) => (record == Some((version, value))).then_some(record),
        (Call::Read | Call::Delete, Some(Answer::Nothing)) => record.is_none().then_some(None),
        (Call::Write { expected, value }, Some(Answer::Written { version: now })) => {
            (version == expected && now == expected + 1).then_some(Some((now, value)))
        }
        (Call::Write { expected, .. }, Some(Answer::Conflict)) => (version != expected).then_some(record),
        (Call::Write { expected, value }, None) => (version == expected).then_some(Some((expected + 1, value))),
        (Call::Delete, Some(Answer::Deleted)) => Some(None),
        (Call::Delete, None) => record.is_some().then_some(None),
        // Nobody asked for such an answer.
        _ => None,
    }
}

/// Which operations have taken effect, and what is there now.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Situation {
    done: Vec<u64>,
    record: Record,
}

impl Situation {
    fn first(operations: usize) -> Self {
        Self { done: vec![0; operations.div_ceil(64)], record: None }
    }

    fn is_done(&self, place: usize) -> bool {
        self.done[place / 64] >> (place % 64) & 1 == 1
    }

    fn with(&self, place: usize, record: Record) -> Self {
        let mut done = self.done.clone();
        done[place / 64] |= 1 << (place % 64);
        Self { done, record }
    }

    fn count(&self) -> u32 {
        self.done.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether all that was answered has taken effect. What was not answered need not.
    fn is_end(&self, operations: &[Operation]) -> bool {
        operations.iter().enumerate().all(|(place, one)| one.answer.is_none() || self.is_done(place))
    }

    /// What may take effect next: what began before the first answer among those that have not. The most likely is the last: what was answered first.
    fn candidates(&self, operations: &[Operation]) -> Vec<usize> {
        let ended = |place: usize| operations[place].answer.map_or(u64::MAX, |(_, at)| at);
        let waiting = || (0..operations.len()).filter(|place| !self.is_done(*place));
        let first_end = waiting().map(ended).min().unwrap_or(0);
        let mut next: Vec<usize> = waiting().filter(|place| operations[*place].began_us <= first_end).collect();
        next.sort_by_key(|place| std::cmp::Reverse(ended(*place)));
        next
    }

    fn explain(&self, operations: &[Operation]) -> String {
        let there = self.record.map_or("nothing".to_owned(), |(version, value)| format!("version {version} ({value})"));
        let candidates = self.candidates(operations);
        let answered = candidates.iter().rev().map(|place| operations[*place]).filter(|one| one.answer.is_some());
        let next: Vec<String> = answered.take(EXAMPLES).map(|one| one.to_string()).collect();
        format!(
            "after {} of {} calls {there} is there, and none of these can be next: {}",
            self.count(),
            operations.len(),
            next.join("; ")
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (call, began) = (self.call, self.began_us);
        match self.answer {
            Some((answer, ended)) => write!(f, "{call:?} -> {answer:?} ({began}-{ended} us)"),
            None => write!(f, "{call:?} -> no answer ({began} us)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn told(call: Call, answer: Answer, began_us: u64, ended_us: u64) -> Operation {
        Operation { call, began_us, answer: Some((answer, ended_us)) }
    }

    fn found(version: u64, value: u64, began: u64, ended: u64) -> Operation {
        told(Call::Read, Answer::Found { version, value }, began, ended)
    }

    fn nothing(began: u64, ended: u64) -> Operation {
        told(Call::Read, Answer::Nothing, began, ended)
    }

    fn written(expected: u64, value: u64, began: u64, ended: u64) -> Operation {
        told(Call::Write { expected, value }, Answer::Written { version: expected + 1 }, began, ended)
    }

    fn conflict(expected: u64, value: u64, began: u64, ended: u64) -> Operation {
        told(Call::Write { expected, value }, Answer::Conflict, began, ended)
    }

    fn deleted(began: u64, ended: u64) -> Operation {
        told(Call::Delete, Answer::Deleted, began, ended)
    }

    fn lost(call: Call, began_us: u64) -> Operation {
        Operation { call, began_us, answer: None }
    }

    #[test]
    fn what_one_order_explains_is_accepted() {
        let write = |expected, value| Call::Write { expected, value };
        let cases = [
            ("no calls", vec![]),
            (
                "one after the other",
                vec![nothing(0, 1), written(0, 7, 2, 3), found(1, 7, 4, 5), deleted(6, 7), nothing(8, 9)],
            ),
            ("a read beside a write sees it", vec![written(0, 7, 0, 10), found(1, 7, 1, 2)]),
            ("or does not", vec![written(0, 7, 0, 10), nothing(1, 2)]),
            ("an end and a begin at one instant are side by side", vec![written(0, 7, 0, 5), nothing(5, 6)]),
            ("one of two writers of one version", vec![written(0, 1, 0, 9), conflict(0, 2, 0, 9), found(1, 1, 10, 11)]),
            ("a write without an answer that came to nothing", vec![lost(write(0, 7), 0), nothing(5, 6)]),
            ("one that took effect at once", vec![lost(write(0, 7), 0), found(1, 7, 1, 2)]),
            ("one that took effect late", vec![lost(write(0, 7), 0), nothing(5, 6), found(1, 7, 7, 8)]),
            ("one that explains a conflict", vec![lost(write(0, 7), 0), conflict(0, 8, 5, 6)]),
            (
                "a delete without an answer",
                vec![written(0, 7, 0, 1), lost(Call::Delete, 2), found(1, 7, 3, 4), nothing(5, 6)],
            ),
            ("deleted and made anew", vec![written(0, 1, 0, 1), deleted(2, 3), written(0, 2, 4, 5), found(1, 2, 6, 7)]),
            ("a read without an answer", vec![lost(Call::Read, 0), nothing(1, 2)]),
            ("two deletes of one record", vec![written(0, 1, 0, 1), deleted(2, 5), deleted(2, 5), nothing(6, 7)]),
        ];
        for (name, history) in cases {
            assert_eq!(judge(&history), Finding::Explained, "{name}");
        }
    }

    #[test]
    fn what_no_order_explains_is_refused() {
        let write = |expected, value| Call::Write { expected, value };
        let cases = [
            ("a stale read", vec![written(0, 7, 0, 1), nothing(2, 3)]),
            ("a lost write", vec![written(0, 1, 0, 1), written(1, 2, 2, 3), found(1, 1, 4, 5)]),
            (
                "time runs backward",
                vec![written(0, 1, 0, 1), written(1, 2, 2, 20), found(2, 2, 3, 4), found(1, 1, 5, 6)],
            ),
            ("two writers of one version", vec![written(0, 1, 0, 9), written(0, 2, 0, 9)]),
            ("what nobody wrote", vec![written(0, 1, 0, 1), found(1, 2, 2, 3)]),
            ("a version that nobody made", vec![written(0, 1, 0, 1), found(2, 1, 2, 3)]),
            ("gone without a delete", vec![written(0, 1, 0, 1), found(1, 1, 2, 3), nothing(4, 5)]),
            ("there after a delete", vec![written(0, 1, 0, 1), deleted(2, 3), found(1, 1, 4, 5)]),
            ("a conflict with nobody", vec![conflict(0, 1, 0, 1)]),
            ("one write, twice", vec![written(0, 1, 0, 1), deleted(2, 3), nothing(4, 5), found(1, 1, 6, 7)]),
            ("a lost write that took effect before it began", vec![found(1, 7, 0, 1), lost(write(0, 7), 2)]),
            (
                "a lost write that took effect twice",
                vec![lost(write(0, 7), 0), found(1, 7, 1, 2), deleted(3, 4), nothing(5, 6), found(1, 7, 7, 8)],
            ),
            ("a skipped version", vec![told(write(0, 1), Answer::Written { version: 2 }, 0, 1)]),
        ];
        for (name, history) in cases {
            assert!(matches!(judge(&history), Finding::Impossible(_)), "{name}");
        }
    }

    #[test]
    fn a_refusal_says_how_far_it_goes() {
        let Finding::Impossible(why) = judge(&[written(0, 7, 0, 1), nothing(2, 3)]) else { panic!("explained") };
        assert_eq!(
            why,
            "after 1 of 2 calls version 1 (7) is there, and none of these can be next: Read -> Nothing (2-3 us)"
        );
    }

    /// A register that some clients use side by side, each call taking effect at a random instant of its time; some answers are lost.
    fn random_history(random: &mut StdRng, calls: u64) -> Vec<Operation> {
        let mut starts: Vec<(u64, u64, u64)> = (0..calls)
            .map(|n| {
                let (began, before, after) = (n * 10, random.random_range(0..25), random.random_range(0..25));
                (began + before, began, began + before + after)
            })
            .collect();
        // In the order in which they take effect.
        starts.sort_unstable();
        let mut record: Record = None;
        let mut history = Vec::new();
        for (n, (_, began_us, ended_us)) in starts.into_iter().enumerate() {
            let version = record.map_or(0, |(version, _)| version);
            let call = match random.random_range(0..10) {
                0..5 => Call::Read,
                5..9 => Call::Write { expected: version.saturating_sub(random.random_range(0..2)), value: n as u64 },
                _ => Call::Delete,
            };
            let (answer, after) = match call {
                Call::Read => {
                    (record.map_or(Answer::Nothing, |(version, value)| Answer::Found { version, value }), record)
                }
                Call::Write { expected, value } if expected == version => {
                    (Answer::Written { version: version + 1 }, Some((version + 1, value)))
                }
                Call::Write { .. } => (Answer::Conflict, record),
                Call::Delete => (record.map_or(Answer::Nothing, |_| Answer::Deleted), None),
            };
            record = after;
            let answer = (!random.random_bool(0.03)).then_some((answer, ended_us));
            history.push(Operation { call, began_us, answer });
        }
        history
    }

    #[test]
    fn histories_of_a_true_register_are_explained_and_forged_ones_are_not() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut history = random_history(&mut random, 120);
            assert_eq!(judge(&history), Finding::Explained, "seed {seed}");
            // Long after all, something is there that was never written.
            history.push(found(1, u64::MAX, 10_000, 10_001));
            assert!(matches!(judge(&history), Finding::Impossible(_)), "seed {seed}");
        }
    }
}
