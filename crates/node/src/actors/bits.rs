//! A set of definitions by their numbers, a bit for each. Pure. Numbers are counted up from zero, so a million take 125 KB.

const WIDTH: u64 = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Puts one in.
    pub fn insert(&mut self, number: u64) {
        let (word, bit) = place(number);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Takes one out.
    pub fn remove(&mut self, number: u64) {
        let (word, bit) = place(number);
        if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether one is in it.
    pub fn has(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn place(number: u64) -> (usize, u64) {
    let word = usize::try_from(number / WIDTH).expect("definition numbers are counted up from zero");
    (word, 1 << (number % WIDTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_it_until_it_is_taken_out() {
        let mut bits = Bits::default();
        for number in [0, 63, 64, 1_000_000] {
            assert!(!bits.has(number));
            bits.remove(number);
            bits.insert(number);
            bits.insert(number);
            assert!(bits.has(number) && !bits.has(number + 1));
            bits.remove(number);
            assert!(!bits.has(number), "{number}");
        }
    }
}
