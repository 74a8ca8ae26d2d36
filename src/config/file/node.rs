//! The tree of a TOML file, with the places of its parts.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use toml::Spanned;

use super::redact::file_settings;
use crate::{
    config::{
        secrets::{hide_misplaced, place_of},
        settings::keys,
    },
    text::TextPlace,
};

/// A TOML value, with the places of its parts.
pub(super) enum Node {
    Text(String),
    Integer(i64),
    Switch(bool),
    List(Vec<Spanned<Node>>),
    Table(Vec<Entry>),
    /// A fraction, a date, a time or a number beyond 64 bits. No setting has such
    /// a value.
    Other,
}

pub(super) type Entry = (Spanned<String>, Spanned<Node>);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a TOML value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Integer(number))
    }

    fn visit_bool<E>(self, switch: bool) -> Result<Node, E> {
        Ok(Node::Switch(switch))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Table(entries))
    }
}

/// Hides what may be a password in the texts of `node`, the value of `key`, from all
/// later messages. The values of parameters may look like accounts.
pub(super) fn hide_passwords(node: &Node, key: &str) {
    let is_name = key == keys::QUERY_PARAMS.setting().key();
    let setting = || file_settings().find(|setting| setting.key() == key);
    let place = match is_name {
        true => TextPlace::Name,
        false => setting().map_or(TextPlace::Other, place_of),
    };
    match node {
        Node::Text(text) => hide_misplaced(text, place),
        Node::List(nodes) => nodes
            .iter()
            .for_each(|node| hide_passwords(node.get_ref(), key)),
        Node::Table(entries) => {
            for (inner, node) in entries {
                let key = if is_name { key } else { inner.get_ref() };
                hide_passwords(node.get_ref(), key);
            }
        }
        _ => {}
    }
}
