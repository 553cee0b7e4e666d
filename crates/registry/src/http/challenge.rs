//! The `WWW-Authenticate` header (RFC 9110, section 11.6.1; RFC 6750, section 3).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What a registry asks for. Other schemes are not spoken by registries and are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Challenge {
    Bearer(Bearer),
    /// User name and password with each request.
    Basic,
}

/// A token of the token server at `realm` (distribution, "Token Authentication Specification").
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Bearer {
    pub(crate) realm: String,
    pub(crate) service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) scope: String,
}

/// The challenge to meet: the first Bearer with a realm, else Basic. A header may hold several
/// challenges, and there may be several headers.
pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.flat_map(parse).collect();
    let mut each = all.iter();
    let bearer = each.position(|one| matches!(one, Challenge::Bearer(_)));
    all.into_iter().nth(bearer.unwrap_or(0))
}

fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = header;
    let mut found: Vec<(String, HashMap<String, String>)> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        // A word before `=` is a parameter of the scheme before it; any other word is a scheme.
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = token_or_quoted(value.trim_start_matches([' ', '\t']));
                parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                found.push((word.to_ascii_lowercase(), HashMap::new()));
                rest = after;
            }
        }
    }
    found.into_iter().filter_map(understand).collect()
}

fn understand((scheme, mut parameters): (String, HashMap<String, String>)) -> Option<Challenge> {
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer(Bearer {
            realm: parameters
                .remove("realm")
                .filter(|realm| !realm.is_empty())?,
            service: parameters.remove("service").unwrap_or_default(),
            scope: parameters.remove("scope").unwrap_or_default(),
        })),
        _ => None,
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(c));
    text.split_at(end.unwrap_or(text.len()))
}

fn token_or_quoted(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('"') else {
        // Lenient: unquoted values with `/` and `:` are seen in the wild.
        let (value, rest) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &inside[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (String::new(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str, scope: &str) -> Challenge {
        let own = str::to_owned;
        Challenge::Bearer(Bearer {
            realm: own(realm),
            service: own(service),
            scope: own(scope),
        })
    }

    fn one(header: &str) -> Option<Challenge> {
        choose(std::iter::once(header))
    }

    #[test]
    fn bearer_with_quoted_and_plain_values() {
        for header in [
            r#"Bearer realm="https://a.example/token",service="r",scope="repository:x:pull""#,
            r#"bearer  Realm = "https://a.example/token" , service=r,  scope="repository:x:pull""#,
            r#"BEARER realm=https://a.example/token,service="\r",scope="repository:x:pull",error="invalid_token""#,
        ] {
            assert_eq!(
                one(header),
                Some(bearer("https://a.example/token", "r", "repository:x:pull")),
                "{header}"
            );
        }
    }

    #[test]
    fn commas_inside_quotes_do_not_part() {
        let header =
            r#"Bearer realm="https://a/?x=1,2",scope="repository:x:pull,push",service="a \"b\"""#;
        assert_eq!(
            one(header),
            Some(bearer(
                "https://a/?x=1,2",
                "a \"b\"",
                "repository:x:pull,push"
            ))
        );
    }

    #[test]
    fn several_challenges_in_one_header_or_many() {
        let both = r#"Negotiate, Basic realm="x", Bearer realm="https://a/t""#;
        assert_eq!(one(both), Some(bearer("https://a/t", "", "")));
        let headers = [
            "Digest nonce=\"x\"",
            "Basic realm=\"x\"",
            "Bearer realm=\"https://a/t\"",
        ];
        assert_eq!(
            choose(headers.into_iter()),
            Some(bearer("https://a/t", "", ""))
        );
        assert_eq!(choose(headers.into_iter().take(2)), Some(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_met_is_passed_over() {
        for header in [
            "",
            "=",
            "Bearer",
            r#"Bearer realm="""#,
            r#"Bearer realm="https://a"#,
            "Negotiate abc==",
            "realm=x",
            "\"",
            ",,,",
        ] {
            assert_eq!(one(header), None, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(header in ".*") {
            one(&header);
        }
    }

    #[test]
    fn the_corpus_of_the_fuzzer_has_an_end() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/registry");
        let mut chosen = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus is in the tree") {
            let path = entry.expect("the corpus can be listed").path();
            let text = std::fs::read_to_string(path).expect("a text");
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                chosen += usize::from(choose(text[..end].split('\n')).is_some());
            }
        }
        assert!(chosen > 0, "it has challenges that are taken");
    }
}
