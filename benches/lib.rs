//! Input for the benches: a seeded inventory of AWS Config items, as blocks of whole lines.
//!
//! What it will not do: measure. The benches stand in `benches/`, one function per step of the hot
//! path; `cargo bench -p deployforge-benches` runs them.

use deployforge_inventory::{Inventory, Options, OptionsError};
use deployforge_model::Block;

/// `count` AWS Config items as NDJSON; a share of `drift` of them differs from round 0 in one
/// attribute. Drift 0 is round 0.
pub fn inventory(count: u64, drift: f64) -> Result<Vec<u8>, OptionsError> {
    let round = u32::from(drift > 0.0);
    let options = Options { resources: count, round, drift, ..Options::default() };
    let inventory = Inventory::new(options)?;
    let mut text = Vec::new();
    inventory.write(&mut text, None, &mut |_| {}).expect("memory takes what is written");
    Ok(text)
}

/// Blocks of whole lines of about half a megabyte, as the pipeline reads them.
pub fn blocks(text: &[u8]) -> Vec<Block> {
    const SIZE: usize = 512 << 10;
    let mut blocks = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let from = (start + SIZE).min(text.len()) - 1;
        let newline = text[from..].iter().position(|byte| *byte == b'\n');
        let end = newline.map_or(text.len(), |at| from + at + 1);
        blocks.push(Block::new(text[start..end].to_vec(), start as u64));
        start = end;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_whole_lines() {
        let text = inventory(1000, 0.1).unwrap();
        let blocks = blocks(&text);
        assert!(blocks.len() > 1);
        assert!(blocks.iter().all(|block| block.bytes.last() == Some(&b'\n')));
        let all: Vec<u8> = blocks.iter().flat_map(|block| block.bytes.to_vec()).collect();
        assert_eq!(all, text);
    }
}
