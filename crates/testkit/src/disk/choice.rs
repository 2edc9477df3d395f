//! What a crash leaves is a list of choices: of each sector which version, of each length, of each change of a name whether.

use crate::Generator;

/// Makes the choices of one crash, and writes down what was chosen among how many.
#[derive(Clone, Debug)]
pub struct Choices {
    script: Script,
    /// Bytes of mixtures are too many to be counted as states.
    bytes: Generator,
    /// (chosen, of how many) where there was a choice.
    made: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
enum Script {
    Random(Generator),
    /// New versions come with this chance in 256.
    Leaning(Generator, u64),
    /// Then the first of everything.
    Given(Vec<usize>),
}

impl Choices {
    fn new(script: Script, seed: u64) -> Self {
        Choices { script, bytes: Generator::new(seed ^ 0xB17E5), made: Vec::new() }
    }

    /// All alike.
    pub fn random(seed: u64) -> Self {
        Self::new(Script::Random(Generator::new(seed)), seed)
    }

    /// Any version but the oldest with a chance of `of_256` in 256: nearly everything, or nearly nothing, was written.
    pub fn leaning(seed: u64, of_256: u64) -> Self {
        Self::new(Script::Leaning(Generator::new(seed), of_256), seed)
    }

    /// These, one after the other.
    pub fn given(choices: Vec<usize>, seed: u64) -> Self {
        Self::new(Script::Given(choices), seed)
    }

    /// One of `count`; no choice if that is 1.
    pub fn pick(&mut self, count: usize) -> usize {
        if count <= 1 {
            return 0;
        }
        let chosen = match &mut self.script {
            Script::Random(generator) => generator.below(count as u64) as usize,
            Script::Leaning(generator, of_256) => {
                let new = generator.below(256) < *of_256;
                if new { 1 + generator.below(count as u64 - 1) as usize } else { 0 }
            }
            Script::Given(choices) => choices.get(self.made.len()).map_or(0, |chosen| chosen % count),
        };
        self.made.push((chosen, count));
        chosen
    }

    /// For each byte of a mixture.
    pub(crate) fn coin(&mut self) -> bool {
        self.bytes.below(2) == 0
    }

    /// What was chosen, among how many.
    pub fn made(&self) -> &[(usize, usize)] {
        &self.made
    }
}

/// All combinations of choices among so many, as long as there are at most `most` of them.
pub fn combinations(counts: &[usize], most: usize) -> Option<Vec<Vec<usize>>> {
    let total = counts.iter().try_fold(1_usize, |total, count| total.checked_mul(*count))?;
    if total > most {
        return None;
    }
    let combination = |mut number: usize| {
        counts
            .iter()
            .map(|count| {
                let chosen = number % count;
                number /= count;
                chosen
            })
            .collect()
    };
    Some((0..total).map(combination).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_combinations_are_different() {
        let all = combinations(&[2, 3, 2], 12).unwrap();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), 12);
        assert!(combinations(&[2, 3, 2], 11).is_none());
        assert_eq!(combinations(&[], 1).unwrap(), vec![Vec::<usize>::new()]);
    }

    #[test]
    fn a_script_is_followed_and_written_down() {
        let mut choices = Choices::given(vec![1, 2], 0);
        assert_eq!((choices.pick(2), choices.pick(1), choices.pick(3), choices.pick(9)), (1, 0, 2, 0));
        assert_eq!(choices.made(), [(1, 2), (2, 3), (0, 9)]);
    }
}
