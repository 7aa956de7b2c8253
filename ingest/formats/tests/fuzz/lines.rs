//! Lines by the short way against the same lines by the reader.

use deployforge_canon::{Flat, Parser};
use deployforge_formats::{LineReader, ReadOptions, ReadSummary, Reader};
use deployforge_model::{Block, Observation, Record, RecordReader, Seed, StateText};

use crate::Outcome;
use crate::dice::Dice;
use crate::mutate::{damage, text};
use crate::states::CANON;
use crate::tree::Json;

const SEED: u64 = 5;

/// Some lines, the first of them as it was.
pub(crate) fn make(seeds: &[Json], dice: &mut Dice) -> Vec<u8> {
    // What is generated comes first among the seeds, and is certainly read line by line.
    let mut lines = seeds[dice.below(100)].line();
    for _ in 0..=dice.below(4) {
        lines.push(b'\n');
        let mut line = if dice.once_in(4) { dice.pick(seeds).line() } else { text(seeds, dice) };
        // A newline within a record makes two of it.
        if dice.once_in(30) {
            let at = dice.below(line.len() + 1);
            line.insert(at, b'\n');
        }
        lines.extend(line);
    }
    if dice.once_in(20) {
        damage(&mut lines, dice);
    }
    if !dice.once_in(5) {
        lines.push(b'\n');
    }
    lines
}

/// Both ways give the same records at the same places, and come to the same.
pub(crate) fn check(text: &[u8]) -> Outcome {
    let first = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| end + 1);
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(&text[..first], &mut records);
    if !reader.is_at_line() {
        return Ok(false);
    }
    let mut whole = Reader::new(ReadOptions::default());
    let mut expected = Vec::new();
    for byte in text.chunks(1) {
        whole.push(byte, &mut expected);
    }
    let expected_summary = whole.finish(&mut expected);
    let reader = reader.into_lines(SEED);
    let mut short = Short { reader, records, held: false, failed: false };
    let summary = short.read(text, first)?;
    if short.records != expected {
        let same = short.records.iter().zip(&expected).take_while(|(a, b)| a == b).count();
        let (short, whole) = (short.records.get(same), expected.get(same));
        return Err(format!("record {same} is {short:?}\ninstead of {whole:?}"));
    }
    // The summary counts what the scan took for an observation, also where that is read again.
    if !short.failed && summary != expected_summary {
        return Err(format!("{summary:?} is not {expected_summary:?}"));
    }
    Ok(short.held)
}

/// The short way, as the pipeline goes it.
struct Short {
    reader: LineReader,
    records: Vec<Record>,
    /// Whether a claim held.
    held: bool,
    /// Whether one did not.
    failed: bool,
}

impl Short {
    fn read(&mut self, text: &[u8], first: usize) -> Result<ReadSummary, String> {
        // The same text is always cut in the same way, so that what fails goes on failing.
        let mut dice = Dice::new(text.len() as u64);
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(first, |end| end + 1);
        let mut at = first;
        while at < end {
            let newline = |from: usize| {
                text[from..].iter().position(|byte| *byte == b'\n').map_or(end, |to| from + to + 1)
            };
            let mut to = newline(at);
            if dice.once_in(12) {
                for piece in text[at..to].chunks(100) {
                    self.reader.piece(piece, &mut self.records);
                }
            } else {
                while to < end && dice.once_in(2) {
                    to = newline(to);
                }
                self.block(&Block::new(text[at..to].to_vec(), at as u64))?;
            }
            at = to;
        }
        let reader = std::mem::take(&mut self.reader);
        Ok(reader.finish(&text[end..], None, &mut self.records))
    }

    fn block(&mut self, block: &Block) -> Result<(), String> {
        let mut lines = self.reader.scan(block);
        self.reader.number(&mut lines);
        let mut left = self.reader.parse(&lines);
        self.reader.count(&mut left);
        let mut left = left.records.into_iter().peekable();
        for row in 0..=lines.frame.len() {
            while let Some((_, record)) = left.next_if(|(before, _)| *before as usize == row) {
                self.records.push(record);
            }
            if row < lines.frame.len() {
                let records = self.reader.record(&lines.frame, row);
                let held = claim(&lines.frame, row, &records)?;
                self.held |= held;
                self.failed |= !held;
                self.records.extend(records);
            }
        }
        Ok(())
    }
}

/// Checks what a row claims; whether the claim held.
fn claim(frame: &deployforge_model::Frame, row: usize, records: &[Record]) -> Outcome {
    let (canon, seed, mut parser) = (&*CANON, Seed::new(SEED), Parser::default());
    let kind = frame.kind(row);
    let (mut claimed, mut whole) = (Flat::default(), Flat::default());
    let state = frame.state(row);
    if !canon.flatten(&mut parser, &seed, frame.dialect, kind, state, &mut claimed) {
        return Ok(false);
    }
    let [Record::Observation(observation)] = records else {
        return Err(format!("a claim held, and the parser gives {records:?}"));
    };
    let observation: &Observation = observation;
    let [account, region, kind, id] = frame.parts(row);
    let key = &observation.key;
    let same = frame.key128(row) == key.hash128(SEED)
        && [account, region, kind, id]
            == [&*key.account, &*key.region, &*key.resource_type, &*key.id]
        && frame.version(row) == observation.version
        && frame.observed_at(row) == observation.observed_at;
    if !same {
        return Err(format!("row {row} is not {observation:?}"));
    }
    let state = StateText::object(&observation.state);
    if !canon.flatten(&mut parser, &seed, frame.dialect, kind, state, &mut whole) {
        return Err("a claim held, and its state is not walked".to_owned());
    }
    if claimed.fingerprint(&seed) != whole.fingerprint(&seed) {
        return Err(format!("the claim is not the state {}", observation.state.escape_ascii()));
    }
    Ok(true)
}
