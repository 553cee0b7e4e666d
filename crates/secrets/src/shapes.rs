//! Secrets that are recognised by where they stand: behind the name of a secret, in an address, in a
//! header, behind a program's option.
//!
//! A command ends at `;`, `&`, `|` or the end of a line; `ARGUMENTS` in the comments is what stands
//! before that.

use crate::rule::Rule;

const DOCKER_HISTORY: &str =
    "https://docs.docker.com/reference/build-checks/secrets-used-in-arg-or-env/";
const CURL: &str = "https://curl.se/docs/manpage.html";
const URI: &str = "https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1";

/// A word: up to a blank, a quote, what ends a command, or the backslash of `\n`.
const WORD: &str = r#"(?:"[^"\n]*"|'[^'\n]*'|[^[:space:]"';&|,)\\]+)"#;

/// The shapes, those that say more before those that say less.
#[rustfmt::skip]
pub(super) static SHAPES: &[Rule] = &[
    // scheme://user:SECRET@host
    Rule::behind("url-password", "a password in a URL", r#"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^[:space:]/?#@:'"<>]*:"#, r#"[^[:space:]/?#@'"<>]+"#, URI).followed_by("@"),
    // https://SECRET@github.com; elsewhere the name alone is often public, as in Sentry's addresses.
    Rule::behind("url-token", "a token in a URL", r"https?://", "[A-Za-z0-9_-]{20,}", URI).at_random().followed_by(r"(?::x-oauth-basic)?@(?:github\.com|gitlab\.|bitbucket\.org|dev\.azure\.com)"),
    // Authorization: Bearer SECRET
    Rule::behind("authorization-header", "a credential in a header", r#"(?i-u:authorization)["'\\]*[[:space:]]*[:=][[:space:]]*["'\\]*(?i-u:bearer|basic|token|apikey)[[:space:]]+"#, "[A-Za-z0-9._~+/=-]{12,}", "https://www.rfc-editor.org/rfc/rfc9110#section-11.6.2"),
    // machine HOST login NAME password SECRET
    Rule::behind("netrc-password", "a password for .netrc", r"(?-u:\b)machine[[:space:]]+[^[:space:]]+[[:space:]]+login[[:space:]]+[^[:space:]]+[[:space:]]+password[[:space:]]+", WORD, "https://www.gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html"),
    // npm config set //host/:_authToken SECRET; with `=` the name says it.
    Rule::behind("npm-config-token", "a token for .npmrc", "(?-u:\\b|:)_(?:authToken|auth|password)[[:space:]]+[\"']?", WORD, "https://docs.npmjs.com/cli/configuring-npm/npmrc"),
    // aws configure set aws_secret_access_key SECRET
    Rule::behind("aws-config-key", "an AWS secret key", "aws_(?:secret_access_key|session_token)[[:space:]]+[\"']?", WORD, "https://docs.aws.amazon.com/cli/latest/reference/configure/set.html"),
    // docker login ARGUMENTS -p SECRET
    Rule::behind("login-password", "a registry's password", r"(?-u:\b)(?:docker|podman|buildah|skopeo|nerdctl|oras|crane|helm registry|az)[[:space:]]+(?:auth[[:space:]]+|acr[[:space:]]+)?login(?-u:\b)[^;&|\n]*?[[:space:]](?:-p[[:space:]]*|--password[[:space:]=])", WORD, "https://docs.docker.com/reference/cli/docker/login/"),
    // sshpass -p SECRET
    Rule::behind("sshpass-password", "a password for ssh", r"(?-u:\b)sshpass[[:space:]]+-p[[:space:]]*", WORD, "https://manpages.debian.org/stable/sshpass/sshpass.1.en.html"),
    // mysql ARGUMENTS -pSECRET
    Rule::behind("mysql-password", "a database's password", r"(?-u:\b)(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump|mariadb-admin)[[:space:]](?:[^;&|\n]*?[[:space:]])?-p", WORD, "https://dev.mysql.com/doc/refman/8.4/en/password-security-user.html"),
    // curl ARGUMENTS -u name:SECRET
    Rule::behind("curl-password", "a password for curl", r#"(?-u:\b)curl[[:space:]](?:[^;&|\n]*?[[:space:]])?(?:-u[[:space:]]*|--user[[:space:]=])["']?[^[:space:]:"']*:"#, r#"[^[:space:]"';&|]+"#, CURL),
    // --token SECRET
    Rule::behind("secret-option", "a secret in an option", r"--(?<name>[A-Za-z0-9_.-]{0,64}(?i-u:pass|pwd|token|secret|key|auth|pat|psk|cred|string)[A-Za-z0-9_.-]{0,16})[[:space:]]+", WORD, DOCKER_HISTORY).by_name(),
];

/// TOKEN=SECRET, `"token": "SECRET"`. It says least, so it comes last.
#[rustfmt::skip]
pub(super) static BY_NAME: Rule = Rule::behind("secret-value", "a secret by its name", r#"(?-u:\b|_)(?<name>[A-Za-z0-9_.-]{0,64}(?i-u:pass|pwd|token|secret|key|auth|pat|psk|cred|string)[A-Za-z0-9_.-]{0,16})["'\\]{0,2}(?:[[:blank:]]?=[[:blank:]]?|:[[:blank:]]{0,2})\\?"#, WORD, DOCKER_HISTORY).by_name();
