//! The schema in the footer of a Parquet file, looked at before a library recurses into it.
//!
//! The footer is a struct in Thrift's compact protocol; its second field is the list of the schema's
//! elements in depth-first order, each with the number of its children.

use deployforge_model::RejectCode;

use super::{COLUMNS, LEVELS, damaged};
use crate::refusal::Refusal;

/// Refuses a schema of too many columns, or that nests too deep.
pub(super) fn check_schema(footer: &[u8]) -> Result<(), Refusal> {
    let mut reader = Compact { rest: footer };
    match reader.schema() {
        Some(true) => Ok(()),
        Some(false) => {
            let reason = format!(
                "The columns of this table are more than {COLUMNS} or nest deeper than {LEVELS} levels; write a table of fewer."
            );
            Err(Refusal::new(RejectCode::TooDeep, reason))
        }
        None => Err(damaged("its footer is none")),
    }
}

struct Compact<'a> {
    rest: &'a [u8],
}

const LIST: u8 = 9;

/// What comes next in a struct.
enum Next {
    /// A field, by its kind and number.
    Field(u8, i64),
    /// The struct ends.
    End,
}

impl Compact<'_> {
    /// Whether the schema is within the limits; `None`: this is no footer.
    fn schema(&mut self) -> Option<bool> {
        let mut id = 0;
        while let Next::Field(kind, field) = self.field(id)? {
            id = field;
            if field != 2 {
                self.skip(kind, 0)?;
                continue;
            }
            if kind != LIST {
                return None;
            }
            let (length, element) = self.list()?;
            return if element == 12 { self.elements(length) } else { None };
        }
        None
    }

    fn elements(&mut self, length: u64) -> Option<bool> {
        // How many children of each open group are still to come.
        let mut open: Vec<u64> = Vec::new();
        for number in 0..length {
            let children = self.element()?;
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            if open.len() > LEVELS || number as usize > COLUMNS {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The number of children of one element.
    fn element(&mut self) -> Option<u64> {
        let (mut id, mut children) = (0, 0);
        while let Next::Field(kind, field) = self.field(id)? {
            id = field;
            if field == 5 && kind == 5 {
                let zigzag = self.number()?;
                children = if zigzag % 2 == 0 { zigzag / 2 } else { 0 };
            } else {
                self.skip(kind, 0)?;
            }
        }
        Some(children)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn bytes(&mut self, length: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The next field of a struct.
    fn field(&mut self, last: i64) -> Option<Next> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(Next::End);
        }
        let ahead = i64::from(byte >> 4);
        let field = if ahead > 0 {
            last.checked_add(ahead)?
        } else {
            let zigzag = self.number()?;
            (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
        };
        Some(Next::Field(byte & 0x0f, field))
    }

    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let length = if byte >> 4 == 15 { self.number()? } else { u64::from(byte >> 4) };
        Some((length, byte & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > LEVELS {
            return None;
        }
        match kind {
            // Booleans of a struct are their own value.
            1 | 2 => Some(()),
            3 => self.bytes(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.bytes(8),
            8 => {
                let length = self.number()?;
                self.bytes(length)
            }
            9 | 10 => {
                let (length, element) = self.list()?;
                for _ in 0..length {
                    // In a list a boolean has a byte.
                    if matches!(element, 1 | 2) {
                        self.bytes(1)?;
                    } else {
                        self.skip(element, depth + 1)?;
                    }
                }
                Some(())
            }
            12 => {
                let mut id = 0;
                while let Next::Field(kind, field) = self.field(id)? {
                    id = field;
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer with groups that each hold the next.
    fn nested(levels: usize) -> Vec<u8> {
        let mut footer = vec![0x15, 0x02, 0x19, 0xfc];
        let mut length = levels + 1;
        while length > 0x7f {
            footer.push(length as u8 | 0x80);
            length >>= 7;
        }
        footer.push(length as u8);
        for _ in 0..levels {
            // A name, one child.
            footer.extend([0x48, 0x01, b'a', 0x15, 0x02, 0x00]);
        }
        footer.extend([0x15, 0x02, 0x38, 0x01, b'b', 0x00, 0x00]);
        footer
    }

    #[test]
    fn schemas_that_nest_too_deep_are_refused() {
        assert!(check_schema(&nested(3)).is_ok());
        assert!(check_schema(&nested(LEVELS)).is_ok());
        for levels in [LEVELS + 1, 5000] {
            let refusal = check_schema(&nested(levels)).unwrap_err();
            assert_eq!(refusal.code(), RejectCode::TooDeep);
        }
    }

    #[test]
    fn what_is_no_footer_is_refused() {
        let whole = nested(3);
        for length in 0..whole.len() - 1 {
            let refusal = check_schema(&whole[..length]).unwrap_err();
            assert_eq!(refusal.code(), RejectCode::Malformed, "{length}");
        }
        assert!(check_schema(&[0x19; 4000]).is_err());
    }
}
