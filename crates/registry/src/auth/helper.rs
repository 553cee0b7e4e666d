//! `docker-credential-<name> get`: a program that keeps passwords (docker-credential-helpers,
//! `client/command.go` and `client/client.go`).

use std::process::{Output, Stdio};

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::auth::credentials::Credential;
use crate::limits::{CREDENTIALS_MAX_BYTES, HELPER_LIMIT};
use crate::secret::Secret;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// Asks the helper `name` for the credential filed under `key`; `Ok(None)` when it has none.
pub(crate) async fn get(name: &str, key: &str) -> Result<Option<Credential>, String> {
    let fail = |reason: &str| Err(format!("docker-credential-{name} failed: {reason}"));
    if !name
        .bytes()
        .all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
    {
        return fail("its name may hold letters, digits, `.`, `_` and `-` only");
    }
    let child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let output = match child {
        Err(error) => return fail(&format!("it cannot be started: {error}")),
        Ok(child) => match tokio::time::timeout(HELPER_LIMIT, talk(child, key)).await {
            Err(_) => return fail(&format!("no answer within {} s", HELPER_LIMIT.as_secs())),
            Ok(Err(error)) => return fail(&error.to_string()),
            Ok(Ok(output)) => output,
        },
    };
    // Helpers tell "none" by this text, whatever their exit code (`credentials/error.go`).
    let text = String::from_utf8_lossy(&output.stdout);
    if text.trim().starts_with("credentials not found") {
        return Ok(None);
    }
    if !output.status.success() {
        let line: String = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        return fail(&format!("{} {line}", output.status));
    }
    match serde_json::from_slice::<Answer>(&output.stdout) {
        Ok(answer) => Ok(credential_of(answer)),
        Err(_) => fail("its answer is not the JSON of a credential helper"),
    }
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
    stdout
        .take(CREDENTIALS_MAX_BYTES as u64)
        .read_to_end(&mut text)
        .await?;
    Ok(Output {
        status: child.wait().await?,
        stdout: text,
        stderr: Vec::new(),
    })
}

/// The user name `<token>` marks an identity token (docker `cli/config/credentials/native_store.go`).
fn credential_of(answer: Answer) -> Option<Credential> {
    match (answer.username.as_str(), answer.secret.is_empty()) {
        (_, true) => None,
        ("<token>", false) => Some(Credential::IdentityToken(answer.secret)),
        _ => Some(Credential::Password {
            user: answer.username,
            password: answer.secret,
        }),
    }
}
