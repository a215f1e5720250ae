//! Texts that come near to good ones: a good one, changed a few times.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Longer texts are refused by their length alone.
const LONGEST: usize = 20_000;

/// One of `seeds` with some changes, some of which put in `words`.
pub fn text(seeds: &[&str], words: &[&str], chance: &mut StdRng) -> String {
    let mut chars: Vec<char> = pick(seeds, chance).chars().collect();
    for _ in 0..chance.random_range(0..8) {
        change(&mut chars, seeds, words, chance);
    }
    chars.truncate(LONGEST);
    chars.into_iter().collect()
}

fn pick<'a>(texts: &[&'a str], chance: &mut StdRng) -> &'a str {
    texts.choose(chance).expect("there is one")
}

fn change(chars: &mut Vec<char>, seeds: &[&str], words: &[&str], chance: &mut StdRng) {
    let at = chance.random_range(0..=chars.len());
    let to = at + chance.random_range(0..=(chars.len() - at).min(12));
    match chance.random_range(0..8) {
        0 => drop(chars.drain(at..to)),
        1 => insert(chars, at, pick(words, chance).chars()),
        2 => {
            chars.drain(at..to);
            insert(chars, at, pick(words, chance).chars());
        }
        3 => {
            let copied = chars[at..to].to_vec();
            let times = if chance.random_bool(0.05) { 300 } else { chance.random_range(1..4) };
            insert(chars, at, copied.repeat(times).into_iter());
        }
        4 => {
            let other = pick(seeds, chance);
            let from = chance.random_range(0..=other.chars().count());
            chars.truncate(at);
            chars.extend(other.chars().skip(from));
        }
        5 => insert(chars, at, chance.random_range(-400..70_000_i64).to_string().chars()),
        6 => insert(chars, at, char::from_u32(chance.random_range(0..0x11_0000)).into_iter()),
        _ => {
            if let Some(char) = chars.get_mut(at) {
                *char = char::from(chance.random_range(b' '..=b'~'));
            }
        }
    }
}

fn insert(chars: &mut Vec<char>, at: usize, more: impl Iterator<Item = char>) {
    chars.splice(at..at, more);
}
