//! What tells a secret from an example, a reference, a path or a word.

/// Shortest value that is a secret because of its name. Shorter ones are mostly flags and words.
const NAMED_MIN_BYTES: usize = 8;
/// Shortest value that is one because only a password can stand there.
const PASSWORD_MIN_BYTES: usize = 6;
/// Longest value that is looked at; keys in files are longer, and have rules of their own.
const VALUE_MAX_BYTES: usize = 4096;
/// Longest text of letters that is a word without a look at its capitals.
const WORD_MAX_BYTES: usize = 20;
/// Letters that must be left once the words of examples are gone.
const REMAINDER_MIN: usize = 4;

/// What examples are called.
const EXAMPLES: &str = "example sample placeholder changeme change-me change_me changeit dummy \
    fake redacted xxxx your- your_ insert replace notasecret not-a-secret";

/// Secrets that documents print, and that everybody has: AWS's key of examples, the signature of
/// jwt.io, Stripe's first example, the storage emulator's key; and what stands for a password behind a
/// GitHub token.
const KNOWN: [&str; 5] = [
    "IOSFODNN7",
    "SflKxwRJSMeKKF2QT4fw",
    "4eC39HqLyjWDarjt",
    "Eby8vdM02xNOcqFlqUwJ",
    "x-oauth-basic",
];

/// Words that passwords of examples and of test databases are made of, longer ones before those that
/// they contain.
const WORDS: &str = "administrator passphrase postgresql password postgres rabbitmq passw0rd \
    p@ssw0rd p@ssword username mariadb default mongodb secret s3cr3t qwerty passwd access public \
    build mysql redis super token admin guest local dummy minio pass root test user here null \
    none your auth key api app dev foo bar my";

/// Whether a text was drawn at random: it is no example, and neither a sequence nor a repetition.
pub(super) fn is_random(text: &str) -> bool {
    let mut seen = [false; 256];
    text.bytes().for_each(|byte| seen[usize::from(byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    // Of 16 letters out of 32 drawn at random, 7 are different but once in ten thousand times.
    let enough = (text.len() * 2 / 5).min(10);
    different >= enough && !is_sequence(text) && !is_example(text)
}

/// Whether a value that stands where a password must is one.
pub(super) fn is_password(value: &str) -> bool {
    (PASSWORD_MIN_BYTES..=VALUE_MAX_BYTES).contains(&value.len())
        && !value.contains(|c: char| c.is_whitespace() || c.is_control())
        && !is_reference(value)
        && !is_path(value)
        && !is_example(value)
        && !is_sequence(value)
        && remainder(value) >= REMAINDER_MIN
}

/// Whether a value that was given to the name of a secret is one. Names promise much, so words,
/// numbers, versions and other names are not.
pub(super) fn is_secret_value(name: &str, value: &str) -> bool {
    value.len() >= NAMED_MIN_BYTES
        && is_password(value)
        && !is_words(value)
        && !value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".:-_/ ".contains(&byte))
        && !is_pair(value)
        && !value.eq_ignore_ascii_case(name)
        && ![
            "sha1", "sha256", "sha384", "sha512", "md5", "ssh-", "ecdsa-",
        ]
        .iter()
        .any(|head| value.starts_with(head))
}

/// `${TOKEN}`, `$TOKEN`, `$(cat token)`, `{{ token }}`, `<token>`, `%TOKEN%`, `[token]`, `get_token()`,
/// `[0-9a-f]+`.
fn is_reference(value: &str) -> bool {
    let mut pairs = value.as_bytes().windows(2);
    let expands_or_calls = pairs.any(|pair| match *pair {
        [b'$', next] => is_word_letter(next) || b"{(".contains(&next),
        [before, b'('] => is_word_letter(before),
        _ => false,
    });
    expands_or_calls
        || value.contains(['`', '<', '>'])
        || ["{{", "[0-9", "[a-z", "[A-Z", "[^"]
            .iter()
            .any(|sign| value.contains(sign))
        || [('%', '%'), ('[', ']'), ('{', '}')]
            .iter()
            .any(|(open, close)| value.starts_with(*open) && value.ends_with(*close))
        || ["process.env", "os.environ", "os.getenv", "secrets."]
            .iter()
            .any(|head| value.starts_with(head))
}

fn is_word_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A file's path, or an address. Base64 has slashes too, but seldom in front.
fn is_path(value: &str) -> bool {
    let heads = ["/", "./", "../", "~", "@/", "@./"];
    let drive = value.as_bytes().get(1..3) == Some(b":\\");
    let padded = value.contains(['+', '=']);
    drive || value.contains("://") || !padded && heads.iter().any(|head| value.starts_with(head))
}

fn is_example(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let dots = value.contains("...") || value.contains("***") || value.contains('…');
    dots || EXAMPLES.split(' ').any(|word| lower.contains(word))
        || KNOWN.iter().any(|known| value.contains(known))
}

/// `12345678`, `abcdefgh`, `aaaaaaaa`: half of the letters follow from the one before.
fn is_sequence(value: &str) -> bool {
    let pairs = value.as_bytes().windows(2);
    let steps = pairs.filter(|pair| pair[1] == pair[0] || pair[1] == pair[0].wrapping_add(1));
    steps.count() * 2 >= value.len()
}

/// Letters that are left without the words of examples, their numbers and what joins them.
fn remainder(value: &str) -> usize {
    let mut rest = value.to_ascii_lowercase();
    for word in WORDS.split(' ') {
        rest = rest.replace(word, " ");
    }
    if !rest.contains(' ') {
        return rest.len();
    }
    // What is left of `secret123` is a number, and numbers behind a word are the commonest.
    rest.chars()
        .filter(|c| !c.is_ascii_punctuation() && !c.is_ascii_digit() && *c != ' ')
        .count()
}

/// `disabled`, `my-service-name`, `oauth2-proxy`, `NPM_TOKEN_1`, `v1.2.3-alpine3`: words, each perhaps with
/// a short number. A single word with a number, `hunter22`, is what passwords look like.
fn is_words(value: &str) -> bool {
    let mut parts = value.split(['-', '_', '.', ':', '/', ',', '[', ']']);
    let single = value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let digits_max = if single { 0 } else { 3 };
    parts.all(|part| {
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = part.len() - letters.len();
        let humps = letters.bytes().filter(u8::is_ascii_uppercase).count();
        // Of letters drawn at random half are capitals; of words in a row a third at most.
        let words = part.len() <= WORD_MAX_BYTES || humps * 3 <= letters.len();
        letters.bytes().all(|byte| byte.is_ascii_alphabetic()) && number <= digits_max && words
    })
}

/// `id=npm,src=token`: the settings of a mount.
fn is_pair(value: &str) -> bool {
    let name = value
        .split_once('=')
        .map(|(name, rest)| (name, rest.trim_matches('=')));
    name.is_some_and(|(name, rest)| {
        !rest.is_empty()
            && !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::{is_password, is_random, is_secret_value, remainder};

    #[test]
    fn values_that_are_secrets() {
        for value in [
            "hunter22",
            "Tr0ub4dor&3",
            "dQw4w9WgXcQ",
            "9f86d081884c7d65",
            "c29tZXRoaW5nIGVsc2U=",
            "4f2c1b7e-8d3a-4b6f-9c1e-2a7d5e8f0b3c",
            "k8s:pG7w2m",
            "qN3!vR8kX$",
        ] {
            assert!(is_secret_value("TOKEN", value), "{value}");
        }
    }

    #[test]
    fn values_that_are_none() {
        for value in [
            "",
            "true",
            "disabled",
            "required",
            "12345678",
            "1.2.3.4.5",
            "3600000000",
            "abcdefgh",
            "aaaaaaaaaaaa",
            "${TOKEN}",
            "$TOKEN_1",
            "$(cat /t)",
            "<your-token>",
            "{{token}}",
            "%TOKEN%",
            "[REDACTED]",
            "/run/secrets/npm",
            "./token.txt",
            "https://host/token9",
            "my-service-name",
            "oauth2-proxy",
            "NPM_TOKEN_1",
            "changeme123",
            "password123",
            "supersecret1",
            "postgres1",
            "mysecretpassword",
            "id=npm,src=x1",
            "sha256:9f86d081",
            "process.env.X1",
            "LastEvaluatedBackupArn",
            "Jobs[-1].JobId9",
            "{__name_1__}",
            "[0-9a-f]+x",
            "key_file9.read(",
            "secret_version=projects/P9",
            "get_token1()",
            "********",
            "your-token-9a",
        ] {
            assert!(!is_secret_value("TOKEN", value), "{value}");
        }
        assert!(!is_secret_value("secretkey9", "SecretKey9"));
    }

    #[test]
    fn where_only_a_password_can_stand_words_count() {
        assert!(is_password("correcthorse"));
        assert!(!is_password("admin"));
        assert!(!is_password("rabbitmq"));
        assert_eq!(remainder("secret123"), 0);
    }

    #[test]
    fn random_is_neither_example_nor_sequence() {
        assert!(is_random("Z7QK2MXR4TBN6WHJ"));
        assert!(!is_random("IOSFODNN7EXAMPLE"));
        assert!(!is_random("abcdefghijklmnopqrstuvwxyz0123456789"));
        assert!(!is_random("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    }
}
