//! Names that promise a secret: `NPM_TOKEN`, `db.password`, `--api-key`.

/// Words that a secret's name ends with, whatever stands before: `PGPASSWORD`, `authToken`.
const ENDINGS: &str = "password passwd passphrase token secret credential credentials \
    connectionstring apikey appkey accesskey secretkey privatekey signingkey encryptionkey \
    masterkey accountkey storagekey sharedkey servicekey authkey deploykey licensekey";

/// Words that are one only by themselves: `DB_PASS` is, `COMPASS` is not.
const WORDS: [&str; 7] = ["pass", "pwd", "auth", "pat", "psk", "creds", "cred"];

/// What is said of a secret behind its word: `SECRET_KEY_BASE`, `NPM_TOKEN_READ`, `TOKEN2`.
const QUALITIES: &str = "base base64 b64 prod production staging dev live test read write ro rw \
    value";

/// What says that everybody may know it.
const OPEN: [&str; 4] = ["public", "publishable", "example", "sample"];

/// Whether a variable, an option or a field of this name holds a secret.
pub(super) fn is_sensitive(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if OPEN.iter().any(|word| lower.contains(word)) {
        return false;
    }
    let mut words: Vec<&str> = lower.split(['_', '-', '.']).collect();
    while words.len() > 1 && words.last().is_some_and(|word| is_quality(word)) {
        words.pop();
    }
    let whole = words.concat();
    let last = without_number(words.last().copied().unwrap_or_default());
    let flat = without_number(&whole);
    WORDS.contains(&last) || ENDINGS.split(' ').any(|ending| flat.ends_with(ending))
}

fn without_number(text: &str) -> &str {
    text.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn is_quality(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
        || QUALITIES.split(' ').any(|known| known == word)
}

#[cfg(test)]
mod tests {
    use super::is_sensitive;

    #[test]
    fn names_of_secrets() {
        for name in [
            "NPM_TOKEN",
            "password",
            "PGPASSWORD",
            "DB_PASS",
            "db.password",
            "_authToken",
            "_auth",
            "api-key",
            "API_KEY_2",
            "SECRET_KEY_BASE",
            "AWS_SECRET_ACCESS_KEY",
            "npm_token_read",
            "client_secret",
            "GITHUB_PAT",
            "apiKey",
            "MYSQL_ROOT_PASSWORD",
            "token1",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn names_of_other_things() {
        for name in [
            "",
            "_",
            "AUTHOR",
            "COMPASS",
            "PATH",
            "GPG_KEY",
            "GPG_KEYS",
            "KEY",
            "PASSWORD_FILE",
            "TOKEN_URL",
            "SECRET_NAME",
            "TOKENIZERS_PARALLELISM",
            "NEXT_PUBLIC_API_KEY",
            "monkey",
            "STRIPE_PUBLISHABLE_KEY",
            "PYTHON_SHA256",
            "keyserver",
            "TOKEN_TTL",
            "AUTH_METHOD",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
