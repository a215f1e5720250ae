//! How a disk stands, from the bytes that are free on it. Pure.

/// Ordered: the later, the worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// All is taken in.
    #[default]
    Plenty = 0,
    /// The reserve is touched: it is for firing what exists. Nothing new is taken in.
    Low = 1,
    /// The reserve is nearly used up. What is due waits, so that the disk is never full: a log that can't be written ends the process.
    Out = 2,
}

impl Level {
    /// What comes after this level with so many bytes free. Up again only some way above where it went down, so that it doesn't change with
    /// each file that the database removes.
    pub fn next(self, free: u64, reserve: u64) -> Self {
        let limits = |limit: u64, entered: bool| if entered { limit + limit / 4 } else { limit };
        if free < limits(reserve / 8, self == Self::Out) {
            Self::Out
        } else if free < limits(reserve, self >= Self::Low) {
            Self::Low
        } else {
            Self::Plenty
        }
    }

    /// As it stands on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Plenty, Self::Low, Self::Out].into_iter().find(|level| *level as u8 == code)
    }
}

/// Bytes that are kept free where nobody says how many: for a disk of this size.
pub fn default_reserve(total: u64) -> u64 {
    (total / 20).min(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::Level::{Low, Out, Plenty};
    use super::*;

    #[test]
    fn a_level_is_left_some_way_above_where_it_was_entered() {
        let walk = [
            (1000, Plenty),
            (799, Low),
            (100, Low),
            (99, Out),
            (124, Out),
            (125, Low),
            (999, Low),
            (1000, Plenty),
            (50, Out),
            (2000, Plenty),
        ];
        let mut level = Plenty;
        for (free, expected) in walk {
            level = level.next(free, 800);
            assert_eq!(level, expected, "{free} bytes free");
        }
    }

    #[test]
    fn the_reserve_is_a_twentieth_up_to_a_gibibyte() {
        assert_eq!(default_reserve(10 << 30), 536_870_912);
        assert_eq!(default_reserve(1 << 40), 1 << 30);
    }

    #[test]
    fn levels_have_these_codes() {
        assert_eq!([0, 1, 2, 3].map(Level::from_code), [Some(Plenty), Some(Low), Some(Out), None]);
    }
}
