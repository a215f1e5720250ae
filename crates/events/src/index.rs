//! All subscriptions of the cluster, found by what an event has: its namespace, its type, and one attribute that a subscription asks for.
//!
//! The cost of an event grows with the subscriptions that it may match, not with those there are.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flintwheel_model::definition::after_of_type;

use crate::matcher::Matcher;

/// One definition that listens to one event type.
#[derive(Debug)]
pub struct Subscription {
    /// The definition's shard.
    pub shard: u32,
    /// Its number there.
    pub number: u64,
    /// The version that listens.
    pub version: u32,
    /// How it matches.
    pub matcher: Matcher,
}

/// Subscriptions by namespace and event type.
#[derive(Default)]
pub struct Index {
    namespaces: HashMap<String, HashMap<String, OfType>>,
    /// Where a definition's subscriptions stand, by shard and number: namespace and event types.
    by_definition: HashMap<u32, HashMap<u64, (String, Vec<String>)>>,
    /// By namespace and id, definitions for whose runs others wait: how many do.
    followed: BTreeMap<(String, String), usize>,
    len: usize,
}

/// Subscriptions to one event type.
#[derive(Default)]
struct OfType {
    /// Those that ask for no attribute.
    plain: Vec<Arc<Subscription>>,
    /// The others, by the first attribute that they ask for: name, value.
    by_attribute: HashMap<String, HashMap<String, Vec<Arc<Subscription>>>>,
}

impl Index {
    /// Subscriptions there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nobody listens.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a subscription.
    pub fn insert(&mut self, namespace: &str, event_type: &str, subscription: Subscription) {
        let of_shard = self.by_definition.entry(subscription.shard).or_default();
        let (_, types) = of_shard.entry(subscription.number).or_insert_with(|| (namespace.to_owned(), Vec::new()));
        types.push(event_type.to_owned());
        if let Some(id) = after_of_type(event_type) {
            *self.followed.entry((namespace.to_owned(), id.to_owned())).or_default() += 1;
        }
        let of_namespace = self.namespaces.entry(namespace.to_owned()).or_default();
        of_namespace.entry(event_type.to_owned()).or_default().insert(subscription);
        self.len += 1;
    }

    /// Whether a definition has any.
    pub fn contains(&self, shard: u32, number: u64) -> bool {
        self.by_definition.get(&shard).is_some_and(|of_shard| of_shard.contains_key(&number))
    }

    /// Removes all subscriptions of a definition.
    pub fn remove(&mut self, shard: u32, number: u64) {
        let Some(of_shard) = self.by_definition.get_mut(&shard) else { return };
        let Some((namespace, types)) = of_shard.remove(&number) else { return };
        if of_shard.is_empty() {
            self.by_definition.remove(&shard);
        }
        let Some(of_namespace) = self.namespaces.get_mut(&namespace) else { return };
        for event_type in types {
            if let Some(id) = after_of_type(&event_type) {
                unfollow(&mut self.followed, (namespace.clone(), id.to_owned()));
            }
            let Some(of_type) = of_namespace.get_mut(&event_type) else { continue };
            self.len -= of_type.remove_where(|s| s.shard == shard && s.number == number);
            if of_type.is_empty() {
                of_namespace.remove(&event_type);
            }
        }
        if of_namespace.is_empty() {
            self.namespaces.remove(&namespace);
        }
    }

    /// Definitions for whose runs others wait: namespace and id.
    pub fn followed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.followed.keys().map(|(namespace, id)| (namespace.as_str(), id.as_str()))
    }

    /// Whether any definition waits for the runs of this one.
    pub fn is_followed(&self, namespace: &str, id: &str) -> bool {
        self.followed.contains_key(&(namespace.to_owned(), id.to_owned()))
    }

    /// Removes all subscriptions of a shard.
    pub fn remove_shard(&mut self, shard: u32) {
        let numbers: Vec<u64> = self.by_definition.get(&shard).into_iter().flat_map(HashMap::keys).copied().collect();
        numbers.into_iter().for_each(|number| self.remove(shard, number));
    }

    /// Calls `found` with each subscription that an event of this namespace, type and attributes matches.
    pub fn matches<'e>(
        &self,
        namespace: &str,
        event_type: &str,
        attribute: impl Fn(&str) -> Option<&'e str>,
        mut found: impl FnMut(&Arc<Subscription>),
    ) {
        let Some(of_type) = self.namespaces.get(namespace).and_then(|types| types.get(event_type)) else { return };
        of_type.plain.iter().for_each(&mut found);
        for (name, by_value) in &of_type.by_attribute {
            let candidates = attribute(name).and_then(|value| by_value.get(value)).into_iter().flatten();
            candidates.filter(|s| s.matcher.matches(&attribute)).for_each(&mut found);
        }
    }
}

impl OfType {
    fn insert(&mut self, subscription: Subscription) {
        let list = match subscription.matcher.attributes().iter().next() {
            None => &mut self.plain,
            Some((name, value)) => self.by_attribute.entry(name.clone()).or_default().entry(value.clone()).or_default(),
        };
        list.push(Arc::new(subscription));
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_attribute.is_empty()
    }

    /// How many were removed.
    fn remove_where(&mut self, gone: impl Fn(&Subscription) -> bool) -> usize {
        let mut removed = drain(&mut self.plain, &gone);
        self.by_attribute.retain(|_, by_value| {
            by_value.retain(|_, list| {
                removed += drain(list, &gone);
                !list.is_empty()
            });
            !by_value.is_empty()
        });
        removed
    }
}

/// One waits no more.
fn unfollow(followed: &mut BTreeMap<(String, String), usize>, name: (String, String)) {
    if let Entry::Occupied(mut waiting) = followed.entry(name) {
        *waiting.get_mut() -= 1;
        if *waiting.get() == 0 {
            waiting.remove();
        }
    }
}

fn drain(list: &mut Vec<Arc<Subscription>>, gone: impl Fn(&Subscription) -> bool) -> usize {
    let before = list.len();
    list.retain(|subscription| !gone(subscription));
    before - list.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flintwheel_model::definition::{DedupeKeyStrategy, EventTrigger, after_type};

    use super::*;

    fn subscription(shard: u32, number: u64, attributes: &[(&str, &str)]) -> Subscription {
        let attributes: BTreeMap<_, _> = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let trigger = EventTrigger { types: vec!["t".into()], attributes };
        let matcher = Matcher::encode(&trigger, &DedupeKeyStrategy::default());
        Subscription { shard, number, version: 1, matcher: Matcher::decode(&matcher).expect("just encoded") }
    }

    fn index() -> Index {
        let mut index = Index::default();
        index.insert("a", "t", subscription(0, 1, &[]));
        index.insert("a", "t", subscription(0, 2, &[("source", "s")]));
        index.insert("a", "t", subscription(1, 3, &[("source", "s"), ("subject", "x")]));
        index.insert("a", "u", subscription(1, 4, &[]));
        index.insert("b", "t", subscription(0, 5, &[]));
        index
    }

    fn numbers(index: &Index, namespace: &str, event_type: &str, event: &[(&str, &str)]) -> Vec<u64> {
        let mut numbers = Vec::new();
        let attribute = |name: &str| event.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        index.matches(namespace, event_type, attribute, |s| numbers.push(s.number));
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn an_event_finds_who_listens_to_its_namespace_type_and_attributes() {
        let index = index();
        for (namespace, event_type, event, found) in [
            ("a", "t", &[][..], &[1][..]),
            ("a", "t", &[("source", "s")], &[1, 2]),
            ("a", "t", &[("source", "s"), ("subject", "x")], &[1, 2, 3]),
            ("a", "t", &[("source", "S"), ("subject", "x")], &[1]),
            ("a", "u", &[("source", "s")], &[4]),
            ("b", "t", &[], &[5]),
            ("b", "u", &[], &[]),
            ("c", "t", &[], &[]),
        ] {
            assert_eq!(numbers(&index, namespace, event_type, event), found, "{namespace} {event_type} {event:?}");
        }
    }

    #[test]
    fn whose_runs_others_wait_for_is_known_as_long_as_one_of_them_does() {
        let mut index = index();
        let names = |index: &Index| index.followed().map(|(n, id)| format!("{n}/{id}")).collect::<Vec<_>>();
        for (shard, number, id) in [(0, 1, "x"), (1, 9, "x"), (1, 9, "y")] {
            index.insert("a", &after_type(id), subscription(shard, number, &[]));
        }
        assert_eq!((names(&index), index.is_followed("b", "x")), (vec!["a/x".to_owned(), "a/y".to_owned()], false));
        assert_eq!(numbers(&index, "a", &after_type("x"), &[]), [1, 9]);
        index.remove(1, 9);
        assert_eq!(names(&index), ["a/x"]);
        index.remove_shard(0);
        assert!(names(&index).is_empty() && !index.is_followed("a", "x"));
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let mut index = index();
        index.remove(0, 2);
        index.remove(0, 99);
        assert_eq!(numbers(&index, "a", "t", &[("source", "s"), ("subject", "x")]), [1, 3]);
        index.remove_shard(0);
        assert_eq!((index.len(), numbers(&index, "b", "t", &[])), (2, vec![]));
        index.remove(1, 3);
        index.remove(1, 4);
        assert!(index.is_empty() && index.namespaces.is_empty() && index.by_definition.is_empty());
    }
}
