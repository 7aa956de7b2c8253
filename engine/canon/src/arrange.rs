//! The members of a state in another order than where its fingerprint comes from.
//!
//! One source writes the tags before the configuration, another behind it: the text of the state is
//! another one, and its fingerprint says nothing. An [`Arranger`] cuts the text between its members, puts
//! them together in the other order, and takes the fingerprint of that.
//!
//! The cuts need no proof of their own. All pieces but one are read to their end, so they are whole
//! members. If the pieces in another order are a text that was read, that is a list of members, then
//! those before the one piece are members of that list, from the left. Those behind it are too, from the
//! right: a piece begins with a quote and a letter, which within a string would end it before a letter;
//! so it begins outside of strings, and ends at the outermost level, and its brackets are in pairs. What
//! is left between them is a list of members: the text at hand has the same ones.

use std::ops::Range;

use deployforge_model::{MemberKind, Seed, StateForm, StateMember, StateText};
use memchr::memmem::Finder;

use crate::locate::value_at;

/// Members of a state; there are fewer kinds.
const PIECES: usize = 5;

/// After so many texts in turn that are no other order of what was known, only one in as many is tried.
const PATIENCE: u32 = 64;

/// After so many attempts in turn that found no order, all of them are tried again, besides the first,
/// second, fourth and so on.
const SEARCH_AGAIN: u32 = 64;

/// What stands behind the largest member may be so much longer than where it was found before.
const SLACK: usize = 64;

/// Puts members into the order in which they stood before. One per thread.
#[derive(Debug, Default)]
pub struct Arranger {
    /// By how many pieces there are: which of them stood first, second and so on.
    orders: [Option<Vec<u8>>; PIECES + 1],
    /// The name of the member that stood behind the largest, `,"name":`, with at most how many bytes from
    /// there to the end.
    behind: Option<(Box<Finder<'static>>, usize)>,
    /// Texts in turn that were no other order of what was known.
    misses: u32,
    /// Searches, and attempts that came to nothing, since an order was found that was not known.
    vain: u32,
    text: Vec<u8>,
}

impl Arranger {
    /// Whether a text has just the members, in another order, of the one whose fingerprint is `known`.
    /// That one must have been read as a list of members.
    pub fn is_arranged(&mut self, seed: &Seed, slice: StateText<'_>, known: u64) -> bool {
        let StateForm::Members(allowed) = slice.form else { return false };
        if self.misses >= PATIENCE && !self.misses.is_multiple_of(PATIENCE) {
            self.misses = self.misses.wrapping_add(1).max(PATIENCE);
            return false;
        }
        let search = self.vain.is_power_of_two() || self.vain.is_multiple_of(SEARCH_AGAIN);
        if search {
            self.vain = self.vain.wrapping_add(1);
        }
        if let Some((pieces, count)) = self.cut(slice.text, allowed)
            && self.find(seed, slice.text, &pieces[..count], known, search)
        {
            self.misses = 0;
            return true;
        }
        self.misses = self.misses.wrapping_add(1);
        self.vain = self.vain.wrapping_add(u32::from(!search));
        false
    }

    /// Tries the order of the last time; with `search` all of them.
    fn find(
        &mut self,
        seed: &Seed,
        text: &[u8],
        pieces: &[Range<usize>],
        known: u64,
        search: bool,
    ) -> bool {
        let Self { orders, vain, text: arranged, .. } = self;
        let mut is_it = |order: &[u8]| {
            arranged.clear();
            for (k, at) in order.iter().enumerate() {
                if k > 0 {
                    arranged.push(b',');
                }
                arranged.extend_from_slice(&text[pieces[usize::from(*at)].clone()]);
            }
            seed.text(arranged).max(1) == known
        };
        let last = &mut orders[pieces.len()];
        if last.as_ref().is_some_and(|order| is_it(order)) {
            return true;
        }
        if !search {
            return false;
        }
        let mut order: Vec<u8> = (0..pieces.len() as u8).collect();
        while next_permutation(&mut order) {
            if is_it(&order) {
                *last = Some(order);
                *vain = 1;
                return true;
            }
        }
        false
    }

    /// Cuts a text between its members. All but the largest are read to their end.
    fn cut(
        &mut self,
        text: &[u8],
        allowed: &[StateMember],
    ) -> Option<([Range<usize>; PIECES], usize)> {
        let mut pieces: [Range<usize>; PIECES] = Default::default();
        let (mut count, mut at) = (0, 0);
        // Before the largest, which is the one that has to stand.
        let largest = loop {
            let (kind, value) = member(text, at, allowed)?;
            if kind == MemberKind::Object {
                break value;
            }
            let end = value_at(text, value)?.end;
            *pieces.get_mut(count)? = at..end;
            count += 1;
            (text.get(end)? == &b',').then_some(())?;
            at = end + 1;
        };
        let mut end = self.end(text, largest)?;
        *pieces.get_mut(count)? = at..end;
        count += 1;
        while end < text.len() {
            (text[end] == b',').then_some(())?;
            at = end + 1;
            let (_, value) = member(text, at, allowed)?;
            end = match value_at(text, value) {
                Some(value) => value.end,
                // A number or a word ends with the text.
                None if text[value..].iter().all(u8::is_ascii_alphanumeric) => text.len(),
                None => return None,
            };
            *pieces.get_mut(count)? = at..end;
            count += 1;
        }
        (count > 1).then_some((pieces, count))
    }

    /// Where the largest member ends, whose value starts at `value`: before the member that stood behind
    /// it the last time, if its name stands near the end, else it is read.
    fn end(&mut self, text: &[u8], value: usize) -> Option<usize> {
        if let Some((name, rest)) = &mut self.behind {
            let from = value.max(text.len().saturating_sub(*rest + SLACK));
            if let Some(found) = name.find(&text[from..]) {
                *rest = (*rest).max(text.len() - from - found);
                return Some(from + found);
            }
        }
        let end = value_at(text, value)?.end;
        if let Some(name) = text[end..].iter().position(|b| *b == b':') {
            let name = Finder::new(&text[end..=end + name]).into_owned();
            self.behind = Some((Box::new(name), text.len() - end));
        }
        Some(end)
    }
}

/// What may stand under the plain name at `at`, and the place behind its colon.
fn member(text: &[u8], at: usize, allowed: &[StateMember]) -> Option<(MemberKind, usize)> {
    let rest = text.get(at..)?.strip_prefix(b"\"")?;
    let end = rest.iter().position(|b| *b == b'"')?;
    let one = allowed.iter().find(|one| one.name.as_bytes() == &rest[..end])?;
    (rest.get(end + 1)? == &b':').then_some((one.kind, at + end + 3))
}

/// The permutation after this one, in the order of dictionaries; `false` after the last.
fn next_permutation(order: &mut [u8]) -> bool {
    let Some(up) = order.windows(2).rposition(|pair| pair[0] < pair[1]) else { return false };
    let pivot = order[up];
    let Some(other) = order.iter().rposition(|one| *one > pivot) else { return false };
    order.swap(up, other);
    order[up + 1..].reverse();
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const ALLOWED: &[StateMember] = &[
        StateMember { name: "configuration", kind: MemberKind::Object },
        StateMember { name: "tags", kind: MemberKind::Any },
        StateMember { name: "relationships", kind: MemberKind::Any },
        StateMember { name: "relatedEvents", kind: MemberKind::Ignored },
    ];

    fn is(arranger: &mut Arranger, text: &str, known: &str) -> bool {
        let seed = Seed::new(5);
        let slice = StateText { text: text.as_bytes(), form: StateForm::Members(ALLOWED) };
        arranger.is_arranged(&seed, slice, seed.text(known.as_bytes()).max(1))
    }

    #[test]
    fn another_order_is_found_and_another_value_is_not() {
        let mut arranger = Arranger::default();
        let known = |n: u32| {
            format!(r#""tags":{{"n":{n}}},"relationships":[],"configuration":{{"n":[{n}]}}"#)
        };
        let last = |n: u32| {
            format!(r#""relationships":[],"configuration":{{"n":[{n}]}},"tags":{{"n":{n}}}"#)
        };
        for n in 0..2000 {
            assert!(is(&mut arranger, &last(n), &known(n)), "{n}");
            assert!(!is(&mut arranger, &last(n), &known(n + 1)));
            assert!(!is(&mut arranger, &known(n), &known(n)), "the same text is no other order");
        }
        let word = r#""tags":null,"configuration":{"a":1}"#;
        let turned = r#""configuration":{"a":1},"tags":null"#;
        assert!(is(&mut Arranger::default(), turned, word));
        assert!(is(&mut Arranger::default(), word, turned));
    }

    #[test]
    fn what_only_looks_like_members_is_not_taken_for_them() {
        let known = r#""configuration":{"a":1,"tags":[]},"tags":[]"#;
        for text in [
            r#""tags":[],"configuration":{"a":1,"tags":[]"#,
            r#""tags":[]},"tags":[],"configuration":{"a":1"#,
            r#""tags":[],"tags":[]},"configuration":{"a":1"#,
            r#""configuration":{"a":1,"tags":[]"#,
        ] {
            assert!(!is(&mut Arranger::default(), text, known), "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u8>().prop_map(Value::from),
            r#"[a,"\\:{}\[\]é]{0,8}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let name = prop_oneof![Just("tags"), Just("configuration"), Just("a")];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..3).prop_map(|members| {
                    members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
                }),
            ]
        })
    }

    fn text(members: &[(&str, Value)]) -> String {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        members.join(",")
    }

    proptest! {
        #[test]
        fn every_order_is_found_and_nothing_else(
            values in prop::collection::vec(value(), 4),
            order in Just([0, 1, 2, 3]).prop_shuffle(),
            seen in Just([0, 1, 2, 3]).prop_shuffle(),
            cut in any::<prop::sample::Index>(),
            by in any::<prop::sample::Index>(),
        ) {
            let mut values = values;
            values[0] = serde_json::json!({"a": values[0].take()});
            let members: Vec<_> = ALLOWED.iter().map(|one| one.name).zip(values).collect();
            let put = |order: &[usize; 4]| text(&order.map(|at| members[at].clone()));
            let (known, now) = (put(&order), put(&seen));
            let mut arranger = Arranger::default();
            prop_assert_eq!(is(&mut arranger, &now, &known), now != known);
            // Pieces of the known text in any order: taken only if they say the same.
            let commas: Vec<usize> = known.match_indices(',').map(|(at, _)| at).collect();
            let (one, two) = (*cut.get(&commas), *by.get(&commas));
            let (one, two) = (one.min(two), one.max(two));
            let pieces = [&known[..one], known.get(one + 1..two).unwrap_or(""), &known[two + 1..]];
            for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let now = order.map(|at| pieces[at]).join(",");
                if is(&mut arranger, &now, &known) {
                    let read = |text: &str| serde_json::from_str::<Value>(&format!("{{{text}}}"));
                    prop_assert_eq!(read(&now).expect("members"), read(&known).expect("members"));
                }
            }
        }
    }
}
