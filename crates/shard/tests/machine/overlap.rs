//! Occurrences that overlap: what becomes of them by policy, by what is open, and by what happens to runs.

use bytes::Bytes;
use flintwheel_shard::entry::{Body, Closed, DeadAction, Decision, Define, NEVER, Pause, RunEnd, Trigger};
use flintwheel_shard::occurrence::{End, Key, Reason};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Outcome, Triggered};
use flintwheel_shard::tracks::{Left, Policy, Tracking, Wish, left};

use crate::support::*;

/// A shard with one definition, number 0, that is due each hour, and what was asked of it by hand.
struct Scene {
    shard: Shard,
    asked: u32,
}

fn policy_of(word: &str) -> Policy {
    match word {
        "skip" => Policy::Skip,
        "buffer_one" => Policy::BufferOne,
        "buffer_all" => Policy::BufferAll,
        "cancel" => Policy::CancelOther,
        "terminate" => Policy::TerminateOther,
        "allow" => Policy::AllowAll,
        other => panic!("{other} is no policy"),
    }
}

fn definition(tracking: Option<Tracking>) -> Define {
    Define { tracking, ..due("a", START) }
}

pub fn closed(number: u64, run: u64, end: RunEnd) -> Closed {
    Closed { number, run, end, left: None, note: format!("run {run} failed"), at: None }
}

impl Scene {
    fn new(tracking: Option<Tracking>) -> Self {
        Self { shard: Shard::with(vec![definition(tracking)]), asked: 0 }
    }

    /// `t`: the next due time. `m` or `m.POLICY`: by hand. `start`: the sink takes all that waits for it; `refuse`: it takes none.
    /// `end`, `fail`: so ends the oldest run; `end.new`: the newest. `pause`, `resume`. `now.POLICY`: the definition is changed.
    fn step(&mut self, step: &str) {
        let (word, rest) = step.split_once('.').map_or((step, None), |(word, rest)| (word, Some(rest)));
        match word {
            "t" => {
                let decision = self.shard.next_decision(0);
                assert_eq!(self.shard.fire(vec![decision]).1, [0; 0], "it is not stale");
            }
            "m" => {
                self.asked += 1;
                let item = Trigger { policy: rest.map(policy_of), ..trigger("a", &format!("r{}", self.asked)) };
                self.shard.apply(Body::Trigger(vec![item]));
            }
            "start" => self.answer(false),
            "refuse" => self.answer(true),
            "end" => self.end(RunEnd::Completed, rest == Some("new")),
            "fail" => self.end(RunEnd::Failed, false),
            "pause" | "resume" => {
                let (namespace, id, paused) = (NAMESPACE.into(), "a".into(), word == "pause");
                let next = self.shard.slot(0).next;
                let pause = Pause {
                    namespace,
                    id,
                    paused,
                    note: "".into(),
                    next,
                    missed: 0,
                    wanted_through: None,
                    until: None,
                    computed: None,
                    request: None,
                };
                self.shard.apply(Body::Pause(vec![pause]));
            }
            "now" => {
                let next = self.shard.slot(0).next;
                let changed = changed(definition(rest.map(policy_of).map(|p| tracked(p).expect("some"))), "changed");
                self.shard.define(Define { next, ..changed });
            }
            other => panic!("{other} is no step"),
        }
        self.shard.at += SECOND;
    }

    fn answer(&mut self, refuse: bool) {
        let open: Vec<_> = self.shard.machine.outbox().range(0, 0).map(|(seq, open)| (seq, open.clone())).collect();
        for (seq, open) in open {
            let left = (0..open.records).filter(|r| open.ends.get(*r as usize).is_none_or(|end| *end == End::Pending));
            let answer = |record| if refuse { refused(record, START) } else { started(record, START) };
            let chunk = flintwheel_shard::reply::OutboxRef { lane: 0, seq, records: open.records };
            self.shard.apply(ack(chunk, left.map(answer).collect()));
        }
    }

    fn end(&mut self, end: RunEnd, newest: bool) {
        let track = self.shard.machine.tracks().get(0).expect("is tracked");
        let runs: Vec<u64> = track.open().map(|(run, _)| run).collect();
        let run = if newest { runs.last() } else { runs.first() };
        self.shard.apply(Body::Closed(vec![closed(0, *run.expect("one is open"), end)]));
    }

    /// Open runs (`!` asked to cancel, `!!` ended), what waits, and what was skipped and why, in the order of decision.
    fn told(&self) -> (String, String, String) {
        let key = |key: &Key| match key {
            Key::Time { nominal, .. } => format!("t{}", (nominal - START) / HOUR),
            Key::Manual(request) => request.replace('r', "m"),
            Key::Backfill { nominal, .. } => format!("b{}", (nominal - START) / HOUR),
            Key::Event(key) => key.clone(),
        };
        let track = self.shard.machine.tracks().get(0);
        let wish = |wish| ["", "!", "!!"][wish as usize];
        let open = track.iter().flat_map(|t| t.open()).map(|(_, run)| key(&run.key) + wish(run.wish));
        let waiting = track.iter().flat_map(|t| t.waiting()).map(|(_, waiting)| key(&waiting.key));
        let mut account = self.shard.occurrences(0);
        account.reverse();
        let skipped = account.iter().filter_map(|o| Some(format!("{}:{}", key(&o.what.key), o.what.skip?.word())));
        let all = |texts: Vec<String>| texts.join(" ");
        (all(open.collect()), all(waiting.collect()), all(skipped.collect()))
    }
}

/// Policy; what happens; open, waiting, skipped.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    // One after the other, all policies are the same.
    ("skip", "t end t end t", "t2", "", ""),
    ("buffer_one", "t end t end t", "t2", "", ""),
    ("buffer_all", "t end t end t", "t2", "", ""),
    ("cancel", "t end t end t", "t2", "", ""),
    ("terminate", "t end t end t", "t2", "", ""),
    ("allow", "t end t end t", "t2", "", ""),
    // Three while one runs.
    ("skip", "t t t t", "t0", "", "t1:overlap t2:overlap t3:overlap"),
    ("buffer_one", "t t t t", "t0", "t1", "t2:overlap t3:overlap"),
    ("buffer_all", "t t t t", "t0", "t1 t2 t3", ""),
    ("cancel", "t t t t", "t0!", "t1 t2 t3", ""),
    ("terminate", "t t t t", "t0!!", "t1 t2 t3", ""),
    ("allow", "t t t t", "t0 t1 t2 t3", "", ""),
    // And when that ends.
    ("skip", "t t t t end", "", "", "t1:overlap t2:overlap t3:overlap"),
    ("skip", "t t t t end t", "t4", "", "t1:overlap t2:overlap t3:overlap"),
    ("buffer_one", "t t t t end", "t1", "", "t2:overlap t3:overlap"),
    ("buffer_one", "t t t t end t", "t1", "t4", "t2:overlap t3:overlap"),
    ("buffer_all", "t t t t end", "t1", "t2 t3", ""),
    ("buffer_all", "t t t t end end end", "t3", "", ""),
    // Of those that came meanwhile the last one runs; the others are accounted for.
    ("cancel", "t t t t end", "t3", "", "t1:replaced t2:replaced"),
    ("terminate", "t t t t end", "t3", "", "t1:replaced t2:replaced"),
    ("cancel", "t t end t", "t1!", "t2", ""),
    ("allow", "t t t end.new end", "t1", "", ""),
    // A run is open from its decision on, whether the sink has it or not.
    ("skip", "t start t", "t0", "", "t1:overlap"),
    ("skip", "t refuse t", "t1", "", ""),
    ("buffer_all", "t t t refuse", "t1", "t2", ""),
    ("cancel", "t start t end start", "t1", "", ""),
    // By hand: with the definition's policy, or one of its own.
    ("skip", "t m", "t0", "", "m1:overlap"),
    ("buffer_all", "t m t m", "t0", "m1 t1 m2", ""),
    ("buffer_all", "t m t m end", "m1", "t1 m2", ""),
    ("skip", "t m.buffer_all t end", "m1", "", "t1:overlap"),
    ("skip", "t m.buffer_one m.buffer_one", "t0", "m1", "m2:overlap"),
    ("buffer_all", "t t m.skip", "t0", "t1", "m1:overlap"),
    ("buffer_all", "t t m.buffer_one", "t0", "t1", "m1:overlap"),
    ("skip", "t m.terminate", "t0!!", "m1", ""),
    ("skip", "t m.cancel m.terminate", "t0!!", "m1 m2", ""),
    ("skip", "t m.terminate m.cancel end", "m2", "", "m1:replaced"),
    ("buffer_all", "t t t m.cancel end", "m1", "t2", "t1:replaced"),
    // One that is allowed beside others counts as open.
    ("skip", "m.allow t", "m1", "", "t0:overlap"),
    ("skip", "t m.allow t", "t0 m1", "", "t1:overlap"),
    ("skip", "t m.allow end t", "m1", "", "t1:overlap"),
    ("buffer_all", "t m.allow t end", "m1", "t1", ""),
    ("buffer_all", "t m.allow t end end", "t1", "", ""),
    ("cancel", "t m.allow t", "t0! m1!", "t1", ""),
    ("cancel", "t t m.allow", "t0! m1", "t1", ""),
    // While it is paused, what waits for its due time is skipped when its turn comes; what was asked for by hand runs.
    ("buffer_all", "t t m t pause", "t0", "t1 m1 t2", ""),
    ("buffer_all", "t t m t pause end", "m1", "t2", "t1:paused"),
    ("buffer_all", "t t m t pause end end", "", "", "t1:paused t2:paused"),
    ("buffer_all", "t t t pause resume end", "t1", "t2", ""),
    ("cancel", "t t m t pause end", "m1", "", "t1:paused t2:paused"),
    // Another policy counts from when it comes, for what waits too.
    ("buffer_all", "t t t now.skip", "t0", "", "t1:overlap t2:overlap"),
    ("buffer_all", "t t t now.allow", "t0 t1 t2", "", ""),
    ("buffer_all", "t t m.buffer_one m.buffer_all t now.skip", "t0", "m2", "m1:overlap t1:overlap t2:overlap"),
    ("buffer_all", "t t t now", "t0 t1 t2", "", ""),
    ("skip", "t now.terminate t", "t0!!", "t1", ""),
    // Nothing is known any more, and nothing is in the way.
    ("skip", "t now t t", "t0", "", ""),
];

#[test]
fn what_becomes_of_occurrences_that_overlap() {
    for (policy, steps, open, waiting, skipped) in CASES {
        let mut scene = Scene::new(tracked(policy_of(policy)));
        steps.split(' ').for_each(|step| scene.step(step));
        let (o, w, s) = scene.told();
        assert_eq!((o.as_str(), w.as_str(), s.as_str()), (*open, *waiting, *skipped), "{policy}: {steps}");
    }
}

#[test]
fn of_a_definition_that_asks_for_nothing_only_firings_by_hand_that_bring_a_policy_are_tracked() {
    let mut scene = Scene::new(None);
    for step in ["t", "t", "m", "m.allow", "start"] {
        scene.step(step);
    }
    assert!(scene.shard.machine.tracks().get(0).is_none());
    for (step, told) in [
        ("m.skip", ("m3", "", "")),
        ("m.skip", ("m3", "", "m4:overlap")),
        ("t", ("m3", "", "m4:overlap")),
        ("m", ("m3", "", "m4:overlap")),
        ("m.buffer_all", ("m3", "m6", "m4:overlap")),
        ("end", ("m6", "", "m4:overlap")),
        ("end", ("", "", "m4:overlap")),
    ] {
        scene.step(step);
        let (open, waiting, skipped) = scene.told();
        assert_eq!((open.as_str(), waiting.as_str(), skipped.as_str()), told, "{step}");
    }
    scene.step("m.skip");
    let track = scene.shard.machine.tracks().get(0).expect("is tracked");
    let runs: Vec<u64> = track.open().map(|(run, _)| run).collect();
    assert_eq!(runs, [3], "no run has the number of one that was before");
}

#[test]
fn who_fires_by_hand_is_told_whether_it_runs_now() {
    let mut shard = Shard::with(vec![definition(tracked(Policy::BufferOne))]);
    for (request, expected) in [
        ("r1", Triggered::Fired { version: 1, incarnation: 7 }),
        ("r2", Triggered::Waits { version: 1, incarnation: 7 }),
        ("r3", Triggered::Skipped { incarnation: 7 }),
        ("r2", Triggered::Duplicate { incarnation: 7 }),
        ("r3", Triggered::Duplicate { incarnation: 7 }),
    ] {
        let told = shard.apply(Body::Trigger(vec![trigger("a", request)])).outcome;
        assert_eq!(told, Outcome::Triggered(vec![expected]), "{request}");
    }
}

#[test]
fn what_waited_fires_with_its_own_input_and_by_the_newest_version() {
    let mut scene = Scene::new(tracked(Policy::BufferAll));
    scene.step("t");
    let other = Trigger { input: "1".into(), ..trigger("a", "r1") };
    scene.shard.apply(Body::Trigger(vec![other]));
    scene.step("t");
    scene.step("now.buffer_all");
    let closed_all = [0, 3].map(|run| closed(0, run, RunEnd::Completed));
    let applied = scene.shard.apply(Body::Closed(closed_all.into()));
    assert_eq!(applied.outcome, Outcome::Closed { closed: 2, paused: vec![] });
    let chunk = applied.chunks[0];
    let (account, payloads) = query::outbox_chunk(&scene.shard.state, 0, chunk.seq).expect("reads").expect("is open");
    let records: Vec<_> = account.records.iter().map(|record| (key_of(record), record.version)).collect();
    assert_eq!(records, [("m:r1".to_owned(), 2), ("t:1".to_owned(), 2)]);
    assert_eq!([0, 1].map(|record| payloads.of(record).map(|input| input.to_vec())), [Some(b"1".to_vec()), None]);
}

#[test]
fn a_due_time_without_input_does_not_take_that_of_a_firing_by_hand_beside_it() {
    let mut scene = Scene::new(tracked(Policy::BufferAll));
    ["t", "t", "m"].iter().for_each(|step| scene.step(step));
    let ends = [0, 3].map(|run| closed(0, run, RunEnd::Completed));
    let chunk = scene.shard.apply(Body::Closed(ends.into())).chunks[0];
    let (account, payloads) = query::outbox_chunk(&scene.shard.state, 0, chunk.seq).expect("reads").expect("is open");
    assert_eq!(account.records.iter().map(key_of).collect::<Vec<_>>(), ["t:1", "m:r1"]);
    assert_eq!([0, 1].map(|record| payloads.of(record).is_some()), [false, true]);
}

#[test]
fn a_skip_names_the_run_that_was_open_and_since_when() {
    let mut scene = Scene::new(tracked(Policy::Skip));
    ["t", "start", "t", "t"].iter().for_each(|step| scene.step(step));
    let by = Key::Time { nominal: START, due: START, count: 1 };
    let ends: Vec<End> = scene.shard.occurrences(0).into_iter().take(2).map(|o| o.end).collect();
    assert_eq!(ends, vec![End::Overlapped { by, since: START }; 2]);
    assert_eq!(scene.shard.machine.tracks().get(0).map(|track| track.kept_out), Some(2));
    let found = query::misses(&scene.shard.state, Reason::Overlap.code(), u64::MAX, 10).expect("reads");
    assert_eq!(found.len(), 2);
    scene.step("end");
    assert_eq!(scene.shard.machine.tracks().get(0).map(|track| track.kept_out), Some(0));
}

#[test]
fn so_many_wait_and_no_more() {
    let mut scene = Scene::new(tracked(Policy::BufferAll));
    (0..1002).for_each(|_| scene.step("t"));
    let track = scene.shard.machine.tracks().get(0).expect("is tracked");
    assert_eq!((track.open_len(), track.waiting_len()), (1, 1000));
    let newest = &scene.shard.occurrences(0)[0];
    assert_eq!((key_of(&newest.what), newest.what.skip), ("t:1001".to_owned(), Some(Reason::BufferFull)));
}

#[test]
fn due_times_that_are_caught_up_together_overlap_each_other() {
    for (policy, open, waiting, skipped) in [
        ("skip", "t0", "", "t1:overlap t2:overlap t3:overlap t4:overlap"),
        ("buffer_all", "t0", "t1 t2 t3 t4", ""),
        ("allow", "t0 t1 t2 t3 t4", "", ""),
    ] {
        let mut scene = Scene::new(tracked(policy_of(policy)));
        let decisions: Vec<Decision> = (0..5).map(|hour| decision(0, 1, START + hour * HOUR)).collect();
        assert_eq!(scene.shard.fire(decisions).1, [0; 0]);
        let (o, w, s) = scene.told();
        assert_eq!((o.as_str(), w.as_str(), s.as_str()), (open, waiting, skipped), "{policy}");
    }
}

#[test]
fn a_run_that_fails_pauses_a_definition_that_asks_for_it() {
    let asks = Tracking { policy: Policy::BufferAll, pause_on_failure: true, carry: false };
    for (end, pauses) in [
        (RunEnd::Completed, false),
        (RunEnd::Failed, true),
        (RunEnd::TimedOut, true),
        (RunEnd::Canceled, false),
        (RunEnd::Terminated, false),
        (RunEnd::Gone, false),
    ] {
        let mut scene = Scene::new(Some(asks));
        ["t", "t", "m"].iter().for_each(|step| scene.step(step));
        let generation = scene.shard.slot(0).generation;
        let outcome = scene.shard.apply(Body::Closed(vec![closed(0, 0, end)])).outcome;
        let paused = if pauses { vec![0] } else { vec![] };
        assert_eq!(outcome, Outcome::Closed { closed: 1, paused }, "{end:?}");
        let slot = scene.shard.slot(0);
        assert_eq!((slot.is_paused(), slot.generation), (pauses, generation + u32::from(pauses)), "{end:?}");
        let note = query::pause_note(&scene.shard.state, 0).expect("reads").map(|note| note.note);
        assert_eq!(note, pauses.then(|| "run 0 failed".to_owned()));
        let expected = if pauses { ("m1", "", "t1:paused") } else { ("t1", "m1", "") };
        let (open, waiting, skipped) = scene.told();
        assert_eq!((open.as_str(), waiting.as_str(), skipped.as_str()), expected, "{end:?}");
    }
}

#[test]
fn what_a_run_leaves_is_kept_for_the_next_where_the_definition_asks_for_it() {
    let result = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let asks = Tracking { policy: Policy::AllowAll, pause_on_failure: false, carry: true };
    let mut scene = Scene::new(Some(asks));
    for (end, gives, kept) in [
        (RunEnd::Completed, result("one"), (result("one"), None)),
        (RunEnd::Failed, result("bad"), (result("one"), result("bad"))),
        (RunEnd::Canceled, None, (result("one"), result("bad"))),
        (RunEnd::Terminated, None, (result("one"), result("bad"))),
        (RunEnd::TimedOut, None, (result("one"), result("bad"))),
        (RunEnd::Failed, None, (result("one"), None)),
        (RunEnd::Failed, result("worse"), (result("one"), result("worse"))),
        (RunEnd::Completed, result("two"), (result("two"), None)),
        (RunEnd::Completed, None, (None, None)),
        (RunEnd::Completed, result("three"), (result("three"), None)),
    ] {
        scene.step("t");
        let run = scene.shard.machine.tracks().get(0).and_then(|track| track.open().next()).expect("is open").0;
        scene.shard.apply(Body::Closed(vec![Closed { left: gives.clone(), ..closed(0, run, end) }]));
        let (result, failure) = kept;
        assert_eq!(left(&scene.shard.state, 0).expect("reads"), Left { result, failure }, "{end:?} {gives:?}");
    }
    scene.step("now.allow");
    assert_eq!(left(&scene.shard.state, 0).expect("reads"), Left::default(), "who does not ask any more has none");
}

#[test]
fn a_run_ends_once() {
    let mut scene = Scene::new(tracked(Policy::BufferAll));
    ["t", "t", "t", "start"].iter().for_each(|step| scene.step(step));
    let end = Body::Closed(vec![closed(0, 0, RunEnd::Completed); 2]);
    assert_eq!(scene.shard.apply(end.clone()).outcome, Outcome::Closed { closed: 1, paused: vec![] });
    let before = scene.shard.state.clone();
    for again in [end, Body::Closed(vec![closed(0, 99, RunEnd::Failed), closed(7, 0, RunEnd::Failed)])] {
        let applied = scene.shard.apply(again);
        assert_eq!((applied.outcome, applied.chunks), (Outcome::Closed { closed: 0, paused: vec![] }, vec![]));
        assert_eq!(scene.shard.state, before);
    }
}

#[test]
fn what_waits_for_a_definition_that_is_deleted_is_accounted_for() {
    let mut scene = Scene::new(tracked(Policy::BufferAll));
    ["t", "t", "m"].iter().for_each(|step| scene.step(step));
    scene.shard.apply(delete("a"));
    let found = query::misses(&scene.shard.state, Reason::Deleted.code(), u64::MAX, 10).expect("reads");
    assert_eq!(found.iter().map(|o| key_of(&o.what)).collect::<Vec<_>>(), ["m:r1", "t:1"]);
    assert_eq!((scene.shard.machine.tracks().open(), scene.shard.machine.tracks().waiting()), (0, 0));
    let before = scene.shard.state.clone();
    scene.shard.apply(Body::Closed(vec![closed(0, 0, RunEnd::Failed)]));
    assert_eq!(scene.shard.state, before, "its run ends, and nobody asks");
    // What it has fired is started all the same.
    scene.step("start");
    assert_eq!(scene.shard.machine.outbox().pending(), 0);
}

#[test]
fn a_definition_that_asks_for_nothing_any_more_leaves_its_dead_letters_alone() {
    let mut scene = Scene::new(tracked(Policy::Skip));
    ["t", "refuse", "now"].iter().for_each(|step| scene.step(step));
    scene.shard.apply(Body::Dead(vec![DeadAction { seq: 1, retry: true }]));
    assert_eq!(scene.shard.machine.tracks().open(), 0);
}

#[test]
fn a_dead_letter_that_is_sent_again_runs_beside_what_is_open() {
    let mut scene = Scene::new(tracked(Policy::Skip));
    ["t", "refuse", "t"].iter().for_each(|step| scene.step(step));
    scene.shard.apply(Body::Dead(vec![DeadAction { seq: 1, retry: true }]));
    scene.step("start");
    assert_eq!(scene.told(), ("t1 t0".into(), "".into(), "".into()));
    assert_eq!(scene.shard.machine.tracks().started_from((0, 0)).count(), 2);
}

#[test]
fn a_definition_that_is_disabled_or_has_no_time_left_still_lets_by_hand_what_waits() {
    let mut scene = Scene::new(tracked(Policy::BufferAll));
    ["t", "t", "m"].iter().for_each(|step| scene.step(step));
    let disabled = Define { enabled: false, next: NEVER, ..changed(definition(tracked(Policy::BufferAll)), "off") };
    scene.shard.define(disabled);
    scene.step("end");
    assert_eq!(scene.told(), ("m1".into(), "".into(), "t1:paused".into()));
}

#[test]
fn wishes_are_told_of_runs_that_the_sink_has() {
    let mut scene = Scene::new(tracked(Policy::CancelOther));
    ["t", "t"].iter().for_each(|step| scene.step(step));
    assert_eq!(scene.shard.machine.tracks().wishes().count(), 0, "what has not begun can't be asked");
    scene.step("start");
    assert_eq!(scene.shard.machine.tracks().wishes().collect::<Vec<_>>(), [(0, 0)]);
    let track = scene.shard.machine.tracks().get(0).expect("is tracked");
    assert_eq!(track.run(0).map(|run| run.wish), Some(Wish::Cancel));
    scene.step("end");
    assert_eq!(scene.shard.machine.tracks().wishes().count(), 0);
}
