//! What a crash leaves is a list of choices: of each sector which version, of each length, of each change of a name whether.

use crate::Generator;

/// A choice that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Of what.
    pub subject: Subject,
    /// Which; 0 is what the medium had before.
    pub chosen: usize,
    /// Among how many.
    pub count: usize,
}

/// Makes the choices of one crash, and writes down what was chosen among how many.
#[derive(Clone, Debug)]
pub struct Choices {
    script: Script,
    /// Bytes of mixtures are too many to be counted as states.
    bytes: Generator,
    made: Vec<Choice>,
}

#[derive(Clone, Debug)]
enum Script {
    /// All alike.
    Random(u64),
    /// New versions come with this chance in 256.
    Leaning(u64, u64),
    /// Then the first of everything.
    Given(Vec<usize>),
}

/// What is chosen, so that a choice depends on nothing but the seed and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Whether the change of a name with this number has happened.
    Name(usize),
    /// Which length a file has.
    Length(u64),
    /// Which version a sector of a file has.
    Sector(u64, usize),
    /// Whether the medium has that a file without a name got one.
    Named(u64),
}

impl Subject {
    fn generator(self, seed: u64) -> Generator {
        let (kind, file, at) = match self {
            Subject::Name(number) => (1, 0, number as u64),
            Subject::Length(file) => (2, file, 0),
            Subject::Sector(file, sector) => (3, file, sector as u64),
            Subject::Named(file) => (4, file, 0),
        };
        let mut mixed = Generator::new(seed);
        for part in [kind, file, at] {
            mixed = Generator::new(mixed.next_u64() ^ part);
        }
        mixed
    }
}

impl Choices {
    fn new(script: Script, seed: u64) -> Self {
        Choices { script, bytes: Generator::new(seed ^ 0xB17E5), made: Vec::new() }
    }

    /// All alike.
    pub fn random(seed: u64) -> Self {
        Self::new(Script::Random(seed), seed)
    }

    /// Any version but the oldest with a chance of `of_256` in 256: nearly everything, or nearly nothing, was written.
    pub fn leaning(seed: u64, of_256: u64) -> Self {
        Self::new(Script::Leaning(seed, of_256), seed)
    }

    /// These, one after the other.
    pub fn given(choices: Vec<usize>, seed: u64) -> Self {
        Self::new(Script::Given(choices), seed)
    }

    /// One of `count`; no choice if that is 1.
    pub fn pick(&mut self, subject: Subject, count: usize) -> usize {
        if count <= 1 {
            return 0;
        }
        let chosen = match &self.script {
            Script::Random(seed) => subject.generator(*seed).below(count as u64) as usize,
            Script::Leaning(seed, of_256) => {
                let mut generator = subject.generator(*seed);
                let new = generator.below(256) < *of_256;
                if new { 1 + generator.below(count as u64 - 1) as usize } else { 0 }
            }
            Script::Given(choices) => choices.get(self.made.len()).map_or(0, |chosen| chosen % count),
        };
        self.made.push(Choice { subject, chosen, count });
        chosen
    }

    /// For each byte of a mixture.
    pub(crate) fn coin(&mut self) -> bool {
        self.bytes.below(2) == 0
    }

    /// What was chosen where there was a choice.
    pub fn made(&self) -> &[Choice] {
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
        let picked = [2, 1, 3, 9].map(|count| choices.pick(Subject::Length(1), count));
        assert_eq!(picked, [1, 0, 2, 0]);
        assert_eq!(choices.made().iter().map(|made| made.count).collect::<Vec<_>>(), [2, 3, 9]);
    }

    #[test]
    fn a_choice_depends_on_its_subject_and_not_on_others() {
        let sectors = [3, 1, 2].map(|sector| Subject::Sector(7, sector));
        let pick = |subjects: &[Subject]| {
            let mut choices = Choices::random(5);
            subjects.iter().map(|subject| choices.pick(*subject, 1000)).collect::<Vec<_>>()
        };
        let all = pick(&sectors);
        assert_eq!(pick(&sectors[1..]), all[1..]);
    }
}
