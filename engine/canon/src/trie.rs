//! The names that states have, learnt as they are read.
//!
//! States of one type mostly have the same names in the same order. A [`Trie`] holds every order of
//! names that was seen: a node is a member after the members before it, so what depends on names alone
//! is known there once and for all: the hash of the path, that the name is unique and harmless, what
//! kind of array stands there. Each node remembers which member came next the last time, and that one
//! is tried first, by comparing bytes.

use deployforge_model::{HashedMap, Seed};

use crate::hash;
use crate::node::SECRET_MEMBER;
use crate::redact::is_secret_name;
use crate::rules::{ArrayKind, TypeRules};

/// Nodes and bytes of names that are kept; then all is forgotten and learnt again.
const NODES_MAX: usize = 1 << 16;
const TEXT_MAX: usize = 4 << 20;

/// Places in orders of members that are kept.
const ORDERS_MAX: usize = 1 << 20;

/// Members of one object that are told apart; larger objects are left to the exact way.
const MEMBERS_MAX: u32 = 512;

/// The number of a node; 0 is none.
pub(crate) type Id = u32;

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// An object, before its first member. `before` is the member or element that it is, or none.
    Object,
    /// A member. `before` is the member before it, or the object.
    Member,
    /// The elements of the array that `before` is.
    Element,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Seeded hash of the path.
    pub(crate) path: u64,
    /// Seeded hash of the name.
    pub(crate) name: u64,
    /// Hash of the paths of the object's members up to this one.
    pub(crate) layout: u64,
    /// Where `"name":` stands in the trie's texts.
    text: (u32, u32),
    /// The member that came next the last time.
    next: Id,
    /// The object that the value is, and the elements of the array that it is.
    object: Id,
    elements: Id,
    kind: Option<ArrayKind>,
    /// The name stands twice, or says secret: the exact way decides.
    pub(crate) refused: bool,
    /// A text under this name may say that what stands beside it is secret.
    pub(crate) is_label: bool,
}

/// What of a node only learning asks for: kept apart, so that nodes stay small.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: Id,
    /// Members of the object up to this one.
    members: u32,
    sort: Sort,
    /// The array rule that speaks of it, once its kind is known.
    rule: Option<u32>,
    /// Where the order of an object that ends with this member stands in the trie's orders.
    order: Option<(u32, u32)>,
}

impl Node {
    /// Bytes of the name, which stands in quotes and with a colon behind.
    #[inline]
    pub(crate) fn name_length(&self) -> usize {
        self.text.1.saturating_sub(3) as usize
    }
}

#[derive(Debug, Default)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    links: Vec<Link>,
    texts: Vec<u8>,
    children: HashedMap<u64, Id>,
    roots: HashedMap<u64, Id>,
    /// Orders of members by name, one after another.
    orders: Vec<u16>,
    /// Nodes and bytes of names when the walk under way began.
    begun: (usize, usize),
    /// How often everything was forgotten: numbers of nodes hold until then.
    forgotten: u64,
}

impl Trie {
    /// The object at the root of states of a type. Forgets everything once there is too much.
    pub(crate) fn root(&mut self, of_type: u64) -> Id {
        if self.nodes.len() > NODES_MAX || self.texts.len() > TEXT_MAX {
            self.nodes.clear();
            self.links.clear();
            self.texts.clear();
            self.children.clear();
            self.roots.clear();
            self.orders.clear();
            self.forgotten += 1;
        }
        self.begun = (self.nodes.len(), self.texts.len());
        if let Some(root) = self.roots.get(&of_type) {
            return *root;
        }
        if self.nodes.is_empty() {
            self.add(Sort::Object, hash::ROOT, 0);
        }
        let root = self.add(Sort::Object, hash::ROOT, 0);
        self.roots.insert(of_type, root);
        root
    }

    /// A state of very many names, whatever was learnt before it, is left to the exact way.
    pub(crate) fn is_full(&self) -> bool {
        let (nodes, bytes) = self.begun;
        self.nodes.len() > nodes + NODES_MAX || self.texts.len() > bytes + TEXT_MAX
    }

    /// How often everything was forgotten. What was learnt with another count does not hold.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many objects a member that leads to units stands in, the root not counted.
    pub(crate) fn depth(&self, member: Id) -> usize {
        let (mut at, mut depth) = (member, 0);
        loop {
            let link = self.links[at as usize];
            match link.sort {
                Sort::Object if link.before == 0 => return depth,
                Sort::Object => depth += 1,
                Sort::Member | Sort::Element => {}
            }
            at = link.before;
        }
    }

    #[inline]
    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    fn add(&mut self, sort: Sort, path: u64, before: Id) -> Id {
        let id = self.nodes.len() as Id;
        self.nodes.push(Node {
            path,
            name: 0,
            layout: path,
            text: (0, 0),
            next: 0,
            object: 0,
            elements: 0,
            kind: None,
            refused: false,
            is_label: false,
        });
        self.links.push(Link { before, members: 0, sort, rule: None, order: None });
        id
    }

    /// The member that stands at `at`, if it is the one that came after `before` the last time, and the
    /// place after its colon.
    #[inline]
    pub(crate) fn expected(&self, before: Id, text: &[u8], at: usize) -> Option<(Id, usize)> {
        let id = self.nodes[before as usize].next;
        let (start, length) = self.nodes[id as usize].text;
        let known = &self.texts[start as usize..(start + length) as usize];
        let end = at + known.len();
        (same(text.get(at..end)?, known) && id != 0).then_some((id, end))
    }

    /// The member of a name after `before`.
    pub(crate) fn member(&mut self, seed: &Seed, before: Id, name: &[u8]) -> Id {
        let hash = seed.text(name);
        let key = seed.mix(u64::from(before), hash);
        let id = match self.children.get(&key) {
            Some(id) => *id,
            None => self.learn(seed, before, name, hash, key),
        };
        self.nodes[before as usize].next = id;
        id
    }

    #[cold]
    fn learn(&mut self, seed: &Seed, before: Id, name: &[u8], hash: u64, key: u64) -> Id {
        let (mut unique, mut at) = (true, before);
        while self.links[at as usize].sort == Sort::Member {
            unique &= self.nodes[at as usize].name != hash;
            at = self.links[at as usize].before;
        }
        let path = hash::member_path(seed, self.nodes[at as usize].path, hash);
        let id = self.add(Sort::Member, path, before);
        let layout = self.nodes[before as usize].layout;
        let members = self.links[before as usize].members;
        self.links[id as usize].members = members + 1;
        let start = self.texts.len() as u32;
        self.texts.push(b'"');
        self.texts.extend_from_slice(name);
        self.texts.extend_from_slice(b"\":");
        let secret = std::str::from_utf8(name)
            .map_or(true, |name| name == SECRET_MEMBER || is_secret_name(name));
        let node = &mut self.nodes[id as usize];
        node.name = hash;
        node.layout = seed.mix(layout, path);
        node.text = (start, name.len() as u32 + 3);
        // A format may spell `relationshipName` otherwise: its reader decides.
        node.refused = !unique || secret || name == b"relationshipName" || members >= MEMBERS_MAX;
        node.is_label = matches!(name, b"name" | b"Name" | b"key" | b"Key");
        self.children.insert(key, id);
        id
    }

    /// Which of the members of an object that ends with `last` come first by name; nothing if they
    /// stand in this order. `None`: not known yet.
    #[inline]
    pub(crate) fn order(&self, last: Id) -> Option<&[u16]> {
        let (start, length) = self.links[last as usize].order?;
        Some(&self.orders[start as usize..(start + length) as usize])
    }

    /// Takes note of an order.
    #[cold]
    pub(crate) fn learn_order(&mut self, last: Id, order: &[u16]) {
        if self.orders.len() + order.len() <= ORDERS_MAX {
            self.links[last as usize].order = Some((self.orders.len() as u32, order.len() as u32));
            self.orders.extend_from_slice(order);
        }
    }

    /// How many members an object that ends with `last` has.
    #[inline]
    pub(crate) fn members(&self, last: Id) -> usize {
        self.links[last as usize].members as usize
    }

    /// The object that the value of a member or element is.
    #[inline]
    pub(crate) fn object(&mut self, of: Id) -> Id {
        let Node { object, path, .. } = self.nodes[of as usize];
        if object != 0 {
            return object;
        }
        let object = self.add(Sort::Object, path, of);
        self.nodes[of as usize].object = object;
        object
    }

    /// The elements of the array that the value of a member or element is.
    #[inline]
    pub(crate) fn elements(&mut self, of: Id, seed: &Seed) -> Id {
        let Node { elements, path, .. } = self.nodes[of as usize];
        if elements != 0 {
            return elements;
        }
        let elements = self.add(Sort::Element, hash::element_path(seed, path, 0), of);
        self.nodes[of as usize].elements = elements;
        elements
    }

    /// The kind of the array that the value of a member or element is.
    #[inline]
    pub(crate) fn kind(&mut self, of: Id, rules: &TypeRules) -> ArrayKind {
        match self.nodes[of as usize].kind {
            Some(kind) => kind,
            None => self.learn_kind(of, rules),
        }
    }

    #[cold]
    fn learn_kind(&mut self, of: Id, rules: &TypeRules) -> ArrayKind {
        let mut path = Vec::new();
        let mut at = of;
        while at != 0 {
            let link = self.links[at as usize];
            match link.sort {
                Sort::Object => at = link.before,
                Sort::Element => {
                    // No rule tells one element from another: the caller saw to it.
                    path.push("0".to_owned());
                    at = link.before;
                }
                Sort::Member => {
                    let (start, length) = self.nodes[at as usize].text;
                    let name = &self.texts[start as usize + 1..(start + length) as usize - 2];
                    path.push(String::from_utf8_lossy(name).into_owned());
                    while self.links[at as usize].sort == Sort::Member {
                        at = self.links[at as usize].before;
                    }
                }
            }
        }
        path.reverse();
        let rule = rules.number(&path);
        let kind = rule.map_or(ArrayKind::Ordered, |rule| rules.rule(rule).0);
        self.links[of as usize].rule = rule.map(|rule| rule as u32);
        self.nodes[of as usize].kind = Some(kind);
        kind
    }

    /// The fields that may name an element of an array whose kind is known.
    pub(crate) fn keys<'r>(&self, of: Id, rules: &'r TypeRules) -> &'r [String] {
        self.links[of as usize].rule.map_or(&[], |rule| rules.rule(rule as usize).1)
    }
}

/// Whether two slices of one length are equal, eight bytes at a time.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(last_a), Some(last_b)) => {
            let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
            word(last_a) == word(last_b) && words.into_iter().all(|(a, b)| word(a) == word(b))
        }
        _ => a.iter().zip(b).all(|(a, b)| a == b),
    }
}
