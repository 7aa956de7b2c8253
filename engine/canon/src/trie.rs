//! The names that states have, learnt as they are read.
//!
//! States of one type mostly have the same names in the same order. A [`Trie`] holds every path of
//! names that was seen, so that what depends on names alone is known there once and for all: the hash of
//! the path, that the name is harmless, what kind of array stands there. Each member remembers which one
//! came after it the last time, and that one is tried first, by comparing bytes.

use deployforge_model::{HashedMap, Seed};

use crate::hash;
use crate::node::RESERVED;
use crate::redact::Redactor;
use crate::rules::{ArrayKind, TypeRules};

/// Nodes and bytes of names that are kept; then all is forgotten and learnt again.
const NODES_MAX: usize = 1 << 16;
const TEXT_MAX: usize = 4 << 20;

/// Places in orders of members that are kept.
const ORDERS_MAX: usize = 1 << 20;

/// Members of one object; larger objects are left to the exact way.
const MEMBERS_MAX: u32 = 512;

/// The number of a node; 0 is none.
pub(crate) type Id = u32;

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// An object. It is what `of` is, a member or an element; or the root.
    Object,
    /// A member of the object `of`.
    Member,
    /// The elements of the array that `of` is.
    Element,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Seeded hash of the path.
    pub(crate) path: u64,
    /// Seeded hash of the name.
    pub(crate) name: u64,
    /// In which reading of its object it last stood.
    reading: u64,
    /// Where `"name":` stands in the trie's texts.
    text: (u32, u32),
    /// The member that came next the last time; after an object, its first.
    next: Id,
    /// The object that the value is, and the elements of the array that it is.
    object: Id,
    elements: Id,
    kind: Option<ArrayKind>,
    /// The name says secret: the exact way decides.
    refused: bool,
    /// A text under this name may say that what stands beside it is secret.
    pub(crate) is_label: bool,
}

/// What of a node only learning asks for: kept apart, so that nodes stay small.
#[derive(Clone, Copy, Debug)]
struct Link {
    of: Id,
    sort: Sort,
    /// The array rule that speaks of it, once its kind is known.
    rule: Option<u32>,
    order: Option<Order>,
}

/// How an object's members are put in order that stood there as `layout` says.
#[derive(Clone, Copy, Debug)]
struct Order {
    layout: u64,
    /// Where it stands in the trie's orders.
    start: u32,
    length: u32,
    /// Places there.
    room: u32,
}

/// The members of an object that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members {
    object: Id,
    /// The one that came last; the object before the first.
    pub(crate) last: Id,
    /// Which reading of all this is: who was there already is a member twice.
    reading: u64,
    /// A hash of their paths, in order.
    pub(crate) layout: u64,
    count: u32,
}

impl Members {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }
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
    /// How many objects were read.
    readings: u64,
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
                Sort::Object if link.of == 0 => return depth,
                Sort::Object => depth += 1,
                Sort::Member | Sort::Element => {}
            }
            at = link.of;
        }
    }

    #[inline]
    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    fn add(&mut self, sort: Sort, path: u64, of: Id) -> Id {
        let id = self.nodes.len() as Id;
        self.nodes.push(Node {
            path,
            name: 0,
            reading: 0,
            text: (0, 0),
            next: 0,
            object: 0,
            elements: 0,
            kind: None,
            refused: false,
            is_label: false,
        });
        self.links.push(Link { of, sort, rule: None, order: None });
        id
    }

    /// The members of an object, before the first is read.
    #[inline]
    pub(crate) fn open(&mut self, object: Id) -> Members {
        self.readings += 1;
        let layout = self.nodes[object as usize].path;
        Members { object, last: object, reading: self.readings, layout, count: 0 }
    }

    /// The member that stands at `at`, if it is the one that came next the last time, and the place after
    /// its colon.
    #[inline]
    pub(crate) fn expected(&self, after: &Members, text: &[u8], at: usize) -> Option<(Id, usize)> {
        let id = self.nodes[after.last as usize].next;
        let (start, length) = self.nodes[id as usize].text;
        let known = &self.texts[start as usize..(start + length) as usize];
        let end = at + known.len();
        (same(text.get(at..end)?, known) && id != 0).then_some((id, end))
    }

    /// The member of a name.
    pub(crate) fn member(&mut self, by: (&Seed, &Redactor), after: &Members, name: &[u8]) -> Id {
        let seed = by.0;
        let hash = seed.text(name);
        let key = seed.mix(u64::from(after.object), hash);
        let id = match self.children.get(&key) {
            Some(id) => *id,
            None => self.learn(by, after.object, name, hash, key),
        };
        self.nodes[after.last as usize].next = id;
        id
    }

    /// A member stands there. `None` if it did already, or is not to be read here.
    #[inline]
    pub(crate) fn enter(&mut self, members: &mut Members, seed: &Seed, member: Id) -> Option<()> {
        let node = &mut self.nodes[member as usize];
        if node.refused || node.reading == members.reading || members.count >= MEMBERS_MAX {
            return None;
        }
        node.reading = members.reading;
        members.last = member;
        members.layout = seed.mix(members.layout, node.path);
        members.count += 1;
        Some(())
    }

    #[cold]
    fn learn(
        &mut self,
        (seed, redactor): (&Seed, &Redactor),
        object: Id,
        name: &[u8],
        hash: u64,
        key: u64,
    ) -> Id {
        let path = hash::member_path(seed, self.nodes[object as usize].path, hash);
        let id = self.add(Sort::Member, path, object);
        let start = self.texts.len() as u32;
        self.texts.push(b'"');
        self.texts.extend_from_slice(name);
        self.texts.extend_from_slice(b"\":");
        let secret = std::str::from_utf8(name)
            .map_or(true, |name| name.starts_with(RESERVED) || redactor.is_secret_name(name));
        let node = &mut self.nodes[id as usize];
        node.name = hash;
        node.text = (start, name.len() as u32 + 3);
        // A format may spell `relationshipName` otherwise: its reader decides.
        node.refused = secret || name == b"relationshipName";
        node.is_label = matches!(name, b"name" | b"Name" | b"key" | b"Key");
        self.children.insert(key, id);
        id
    }

    /// Which of the members of an object come first by name; nothing if they stand in this order.
    /// `None`: not known of this order of members.
    #[inline]
    pub(crate) fn order(&self, of: &Members) -> Option<&[u16]> {
        let order = self.links[of.object as usize].order.filter(|one| one.layout == of.layout)?;
        Some(&self.orders[order.start as usize..(order.start + order.length) as usize])
    }

    /// Takes note of an order, instead of the one before.
    #[cold]
    pub(crate) fn learn_order(&mut self, of: &Members, order: &[u16]) {
        let (known, layout) = (&mut self.links[of.object as usize].order, of.layout);
        let length = order.len() as u32;
        let (start, room) = match known {
            Some(known) if known.room >= length => (known.start, known.room),
            _ if self.orders.len() + order.len() > ORDERS_MAX => return,
            _ => {
                self.orders.extend_from_slice(order);
                ((self.orders.len() - order.len()) as u32, length)
            }
        };
        self.orders[start as usize..start as usize + order.len()].copy_from_slice(order);
        *known = Some(Order { layout, start, length, room });
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
                Sort::Object => {}
                // No rule tells one element from another: the caller saw to it.
                Sort::Element => path.push("0".to_owned()),
                Sort::Member => {
                    let (start, length) = self.nodes[at as usize].text;
                    let name = &self.texts[start as usize + 1..(start + length) as usize - 2];
                    path.push(String::from_utf8_lossy(name).into_owned());
                }
            }
            at = link.of;
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
