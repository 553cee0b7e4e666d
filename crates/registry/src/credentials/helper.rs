//! `docker-credential-<name> get`: a program that keeps passwords (docker-credential-helpers,
//! `client/command.go` and `client/client.go`).

use std::process::{Output, Stdio};
use std::time::Duration;

use larder_model::go::json::Object;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::credential::{Credential, Found};
use super::secret::Secret;
use crate::limits::{CREDENTIALS_MAX_BYTES, HELPER_LIMIT};

/// How much of what a helper prints is repeated in an error, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Asks the helper `name` for the credential filed under `key`; `Ok(None)` when it has none.
pub(crate) async fn get(name: &str, key: &str) -> Found {
    let program = format!("docker-credential-{name}");
    let mut letters = name.bytes();
    let answer = if letters.all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c)) {
        ask(&program, key, HELPER_LIMIT).await
    } else {
        Err("its name may hold letters, digits, `.`, `_` and `-` only".to_owned())
    };
    answer.map_err(|reason| format!("{program} failed: {reason}"))
}

async fn ask(program: &str, key: &str, limit: Duration) -> Found {
    let child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it cannot be started: {error}"))?;
    let output = tokio::time::timeout(limit, talk(child, key))
        .await
        .map_err(|_| format!("no answer within {} s", limit.as_secs_f32()))?
        .map_err(|error| error.to_string())?;
    // Helpers tell "none" by this text, whatever their exit code (`credentials/error.go`).
    let text = String::from_utf8_lossy(&output.stdout);
    if text.trim().starts_with("credentials not found") {
        return Ok(None);
    }
    if !output.status.success() {
        let line = text.lines().next().unwrap_or_default();
        let line: String = line.chars().take(SHOWN_CHARS_MAX).collect();
        return Err(format!("{} {line}", output.status));
    }
    let answer = Object::read(&output.stdout).ok().and_then(|answer| {
        let user = answer.text("Username")?.to_owned();
        Some((user, Secret::new(answer.text("Secret")?)))
    });
    answer
        .map(|(user, secret)| credential_of(user, secret))
        .ok_or_else(|| "its answer is not the JSON of a credential helper".to_owned())
}

async fn talk(mut child: Child, key: &str) -> std::io::Result<Output> {
    let mut stdin = child.stdin.take().expect("piped above");
    let stdout = child.stdout.take().expect("piped above");
    // A helper that does not read its input still answers: a broken pipe is no failure.
    if let Err(error) = stdin.write_all(format!("{key}\n").as_bytes()).await
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error);
    }
    drop(stdin);
    let mut text = Vec::new();
    let mut bounded = stdout.take(CREDENTIALS_MAX_BYTES as u64);
    bounded.read_to_end(&mut text).await?;
    Ok(Output {
        status: child.wait().await?,
        stdout: text,
        stderr: Vec::new(),
    })
}

/// The user name `<token>` marks an identity token (docker `cli/config/credentials/native_store.go`).
fn credential_of(user: String, secret: Secret) -> Option<Credential> {
    match (user.as_str(), secret.is_empty()) {
        (_, true) => None,
        ("<token>", false) => Some(Credential::IdentityToken(secret)),
        _ => Some(Credential::Password {
            user,
            password: secret,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What a helper that is this shell script answers, however busy the machine is.
    async fn answer(script: &str) -> Found {
        answer_within(script, Duration::from_secs(60)).await
    }

    async fn answer_within(script: &str, limit: Duration) -> Found {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("helper");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("set");
        let program = program.to_str().expect("a name");
        loop {
            match ask(program, "https://index.docker.io/v1/", limit).await {
                // A test beside this one forked while our script was open for writing; what it made
                // lets go of it soon.
                Err(error) if error.contains("Text file busy") => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                answer => return answer,
            }
        }
    }

    #[tokio::test]
    async fn a_helper_gets_the_key_and_gives_a_credential() {
        let script = r#"read key; test "$1 $key" = "get https://index.docker.io/v1/" || exit 9
            echo '{"ServerURL":"x","Username":"ann","Secret":"s3cret"}'"#;
        let password = Secret::new("s3cret");
        let ann = Credential::Password {
            user: "ann".to_owned(),
            password,
        };
        assert_eq!(answer(script).await, Ok(Some(ann)));
    }

    #[tokio::test]
    async fn a_user_called_token_is_an_identity_token() {
        let script = r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"id"}'"#;
        assert_eq!(
            answer(script).await,
            Ok(Some(Credential::IdentityToken(Secret::new("id"))))
        );
    }

    #[tokio::test]
    async fn a_helper_that_knows_nothing_is_no_failure() {
        let script = "echo 'credentials not found in native keychain'; exit 1";
        assert_eq!(answer(script).await, Ok(None));
    }

    #[tokio::test]
    async fn a_helper_that_fails_or_hangs_is_told() {
        for (script, expected) in [
            ("echo no keyring; exit 3", "exit status: 3 no keyring"),
            ("echo '{\"Secret\":\"s3cret\"}'", "not the JSON"),
            ("exec sleep 60", "no answer within 1 s"),
        ] {
            let hangs = expected.starts_with("no answer");
            let limit = Duration::from_secs(if hangs { 1 } else { 60 });
            let error = answer_within(script, limit).await.expect_err("fails");
            assert!(
                error.contains(expected) && !error.contains("s3cret"),
                "{error}"
            );
        }
        for name in ["larder-test-absent", "../evil", "a/b"] {
            let error = get(name, "r").await.expect_err("no such helper");
            assert!(
                error.starts_with(&format!("docker-credential-{name} failed")),
                "{error}"
            );
        }
    }
}
