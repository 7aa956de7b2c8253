//! Chance that is the same everywhere: numbered dice, shares and Zipf's law.

/// The step of splitmix64: numbers that follow each other lie far apart.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Bits of a roll that decide about a share: as many as a float holds exactly.
const SHARE_BITS: u32 = 53;

/// The finaliser of splitmix64: every bit of the input moves half the bits of the output, and no two
/// inputs give the same output.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Dice whose rolls have numbers: a roll does not depend on which ones were made before, so that
/// attributes can be written in any order and resources in parallel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(STEP)))
    }

    /// The dice of the thing with this number. No two things of one kind share theirs.
    pub(crate) fn of(self, number: u64) -> Self {
        Self(mix(self.0 ^ number))
    }

    /// The roll with this number.
    pub(crate) fn roll(self, number: u64) -> u64 {
        mix(self.0.wrapping_add(STEP.wrapping_mul(number.wrapping_add(1))))
    }

    /// What tells these dice from all others of one kind.
    pub(crate) fn name(self) -> u64 {
        self.0
    }
}

/// A number below `bound`, from the upper half of a roll.
pub(crate) fn below(roll: u64, bound: u64) -> u64 {
    ((roll >> 32) * bound) >> 32
}

/// The part of a roll that decides about shares.
pub(crate) fn fraction(roll: u64) -> u64 {
    roll >> (64 - SHARE_BITS)
}

/// A share as the bound below which a [`fraction`] belongs to it.
pub(crate) fn bound(share: f64) -> u64 {
    (share * (1u64 << SHARE_BITS) as f64) as u64
}

/// Ranks of which some are had more often than others.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    /// Up to which fraction a rank goes; the last bound is all of it.
    bounds: Box<[u64]>,
}

impl Spread {
    /// `count` ranks of which the k-th is had in proportion to 1 / k^skew.
    pub(crate) fn zipf(count: u32, skew: f64) -> Self {
        let weights: Vec<f64> = (1..=count).map(|rank| shrink(f64::from(rank), skew)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let mut bounds: Box<[u64]> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                bound(sum / total)
            })
            .collect();
        if let Some(last) = bounds.last_mut() {
            *last = 1 << SHARE_BITS;
        }
        Self { bounds }
    }

    pub(crate) fn pick(&self, roll: u64) -> usize {
        let fraction = fraction(roll);
        self.bounds.partition_point(|bound| *bound <= fraction)
    }
}

/// 1 / x^power, for x from 1 on. The standard library leaves powers to the system's mathematics,
/// whose last digits differ from machine to machine.
fn shrink(x: f64, power: f64) -> f64 {
    let (mut rest, mut doublings) = (x, 0.0);
    while rest > 1.5 {
        rest /= 2.0;
        doublings += 1.0;
    }
    // ln(rest) is 2 artanh(y), whose series needs few terms where |y| is at most a fifth.
    let y = (rest - 1.0) / (rest + 1.0);
    let (mut term, mut sum) = (y, 0.0);
    for odd in (1u32..30).step_by(2) {
        sum += term / f64::from(odd);
        term *= y * y;
    }
    let logarithm = 2.0 * sum + doublings * std::f64::consts::LN_2;
    // e^-z is (e^(-z/1024))^1024: ten terms of the series, squared ten times.
    let z = -power * logarithm / 1024.0;
    let (mut term, mut result) = (1.0, 1.0);
    for n in 1..=10u32 {
        term *= z / f64::from(n);
        result += term;
    }
    for _ in 0..10 {
        result *= result;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_powers() {
        for x in [1.0, 1.4, 2.0, 3.0, 10.0, 997.0, 100_000.0_f64] {
            for power in [0.0, 0.5, 0.8, 1.0, 2.0, 10.0] {
                let (got, want) = (shrink(x, power), x.powf(-power));
                assert!((got - want).abs() <= want * 1e-9, "{x}^-{power}: {got} {want}");
            }
        }
    }

    #[test]
    fn rolls_are_those_of_splitmix64() {
        // The first two numbers of the generator with the seed 0, as its authors print them.
        let dice = Dice(0);
        assert_eq!(dice.roll(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(dice.roll(1), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn a_spread_is_as_uneven_as_it_says() {
        let count = |skew| {
            let spread = Spread::zipf(4, skew);
            let mut counts = [0u32; 4];
            for i in 0..100_000 {
                counts[spread.pick(mix(i))] += 1;
            }
            counts
        };
        for share in count(0.0) {
            assert!(share.abs_diff(25_000) < 800, "{share}");
        }
        let [first, second, third, fourth] = count(1.0);
        for (got, want) in [(first, 48_000), (second, 24_000), (third, 16_000), (fourth, 12_000)] {
            assert!(got.abs_diff(want) < 1_000, "{got} {want}");
        }
        assert_eq!(Spread::zipf(1, 0.8).pick(u64::MAX), 0);
        assert_eq!(Spread::zipf(3, 10.0).pick(u64::MAX), 2);
    }

    #[test]
    fn shares_are_exact_at_both_ends() {
        assert!((0..10_000).all(|i| fraction(mix(i)) < bound(1.0)));
        assert!((0..10_000).all(|i| fraction(mix(i)) >= bound(0.0)));
        let hits = (0..100_000).filter(|i| fraction(mix(*i)) < bound(0.02)).count();
        assert!(hits.abs_diff(2_000) < 200, "{hits}");
    }
}
