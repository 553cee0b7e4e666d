//! JSON as Go's `encoding/json` reads it into a structure: names in any case, and of several of one name
//! the last; objects of one name are one; bytes that are no UTF-8 are replaced; what follows the first
//! value is left alone, as by `json.Decoder`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::equal_fold;

/// An object with all its members, in their order. It may hold passwords, and cannot be printed.
#[derive(Clone, Default)]
pub struct Object(Vec<(String, Node)>);

/// A value.
#[derive(Clone)]
pub enum Node {
    /// As good as none.
    Null,
    /// A boolean.
    Flag(bool),
    /// A text.
    Text(String),
    /// An object.
    Object(Object),
    /// A number or a list.
    Other,
}

impl Object {
    /// Reads the object that a text begins with; of a blank text, one without members.
    pub fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let text = String::from_utf8_lossy(text);
        let text = without_lone_surrogates(&text);
        let mut values = serde_json::Deserializer::from_str(&text).into_iter();
        match values.next().transpose()? {
            None | Some(Node::Null) => Ok(Self::default()),
            Some(Node::Object(object)) => Ok(object),
            Some(_) => Err(serde_json::Error::custom("it is no object")),
        }
    }

    fn named(&self, name: &str) -> Vec<&Node> {
        let members = self.0.iter();
        let named = members.filter(|(key, _)| equal_fold(key, name));
        named.map(|(_, node)| node).collect()
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.named(name).into_iter().rev().find_map(Node::text)
    }

    /// Whether a field is true.
    pub fn is_on(&self, name: &str) -> bool {
        let mut flags = self.named(name).into_iter().rev();
        flags.find_map(|node| match node {
            Node::Flag(flag) => Some(*flag),
            _ => None,
        }) == Some(true)
    }

    /// The members of a field that is a map, whose keys have a case. Of two with one key the later counts.
    pub fn map(&self, name: &str) -> Vec<(&str, &Node)> {
        let mut members = Vec::new();
        for node in self.named(name) {
            match node {
                Node::Object(object) => {
                    members.extend(object.0.iter().map(|(key, node)| (key.as_str(), node)));
                }
                Node::Null => members.clear(),
                _ => {}
            }
        }
        members
    }

    /// Whether a field is there and is no map.
    pub fn is_mistyped_map(&self, name: &str) -> bool {
        let mut named = self.named(name).into_iter();
        named.any(|node| !matches!(node, Node::Object(_) | Node::Null))
    }
}

impl Node {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(Object(members)))
    }
}

/// Replaces escapes of half a surrogate pair, which Go's decoder takes for U+FFFD and `serde_json`
/// refuses.
pub(crate) fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let length = match (utf16_unit(text, at), utf16_unit(text, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str("\\ufffd");
                at += 6;
                continue;
            }
            // An escaped backslash starts no `\u`.
            _ if c == '\\' => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        };
        out.push_str(&text[at..at + length]);
        at += length;
    }
    Cow::Owned(out)
}

/// The unit that an escape `\uXXXX` at this place stands for.
fn utf16_unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Object {
        Object::read(text.as_bytes()).expect("an object")
    }

    #[test]
    fn names_match_in_any_case_and_the_last_one_counts() {
        let object = read(r#"{"credsStore":"a","CREDSSTORE":"b","CredsStore":null,"x":[1,{}]}"#);
        assert_eq!(object.text("credsStore"), Some("b"));
        assert_eq!(object.text("x"), None);
        assert!(read(r#"{"on":false,"ON":true}"#).is_on("on"));
    }

    #[test]
    fn maps_of_one_name_are_one_and_their_keys_have_a_case() {
        let object = read(r#"{"auths":{"a":"1","A":"2"},"Auths":{"a":"3","b":null}}"#);
        let auths = object.map("auths").into_iter();
        let auths: Vec<_> = auths.map(|(key, node)| (key, node.text())).collect();
        let expected = [
            ("a", Some("1")),
            ("A", Some("2")),
            ("a", Some("3")),
            ("b", None),
        ];
        assert_eq!(auths, expected);
        assert!(
            read(r#"{"auths":{"a":"1"},"auths":null}"#)
                .map("auths")
                .is_empty()
        );
        assert!(read(r#"{"auths":5}"#).is_mistyped_map("auths"));
    }

    #[test]
    fn what_go_overlooks_is_overlooked() {
        assert_eq!(
            read("{\"a\":\"\\ud800\"} trailing").text("a"),
            Some("\u{fffd}")
        );
        let latin = Object::read(b"{\"a\":\"\xe9\"}").expect("an object");
        assert_eq!(latin.text("a"), Some("\u{fffd}"));
        assert!(read(" \n").map("a").is_empty() && read("null").text("a").is_none());
        for text in ["{", "\u{feff}{}", "[]", "5", "{'a':1}"] {
            assert!(Object::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
