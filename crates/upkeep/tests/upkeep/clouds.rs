//! Stand-ins for the stores of Google and Microsoft, which let in whom our policies for them allow: nobody can run theirs.
//! What roles and conditions mean is what their documents say, which `policy.rs` names; a condition of another form
//! ends the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use larder_store::{Location, Objects};
use parking_lot::Mutex;
use serde_json::Value;

use self::requests::{Request, decoded};

#[path = "../../../store/tests/store/requests.rs"]
mod requests;

/// The bucket's name.
pub(crate) const BUCKET: &str = "shop";

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    Google,
    Microsoft,
}

/// What is asked for, with the name of an object, or the beginning of the names that are listed.
#[derive(Debug, Clone, Copy)]
enum Wanted<'a> {
    Read(&'a str),
    List(&'a str),
    Create(&'a str),
    Replace(&'a str),
    Delete(&'a str),
}

/// A bucket that is empty at first.
#[derive(Clone)]
pub(crate) struct Bucket {
    cloud: Cloud,
    stored: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Bucket {
    pub(crate) fn new(cloud: Cloud) -> Self {
        let stored = Arc::default();
        Self { cloud, stored }
    }

    /// The store in it as somebody with this policy has it; with none, its owner.
    pub(crate) fn open_as(&self, policy: Option<Value>) -> Objects {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let bucket = self.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (bucket, policy) = (bucket.clone(), policy.clone());
                // Who has enough hangs up.
                std::thread::spawn(move || bucket.serve(&connection, policy.as_ref()).ok());
            }
        });
        let settings: &[(&str, &str)] = match self.cloud {
            Cloud::Google => &[
                ("GOOGLE_BASE_URL", &format!("http://{address}")),
                (
                    "GOOGLE_SERVICE_ACCOUNT_KEY",
                    r#"{"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": true}"#,
                ),
            ],
            Cloud::Microsoft => &[
                ("AZURE_STORAGE_ENDPOINT", &format!("http://{address}")),
                ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
                ("AZURE_SKIP_SIGNATURE", "true"),
            ],
        };
        let settings = settings.iter();
        let settings: Vec<_> = settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let scheme = match self.cloud {
            Cloud::Google => "gs",
            Cloud::Microsoft => "az",
        };
        let location = Location::parse(&format!("{scheme}://{BUCKET}/cache")).expect("a store");
        location.open(&settings).expect("it opens")
    }

    fn allows(&self, policy: Option<&Value>, wanted: Wanted) -> bool {
        match (policy, self.cloud) {
            (None, _) => true,
            (Some(policy), Cloud::Google) => google::allows(policy, wanted),
            (Some(policy), Cloud::Microsoft) => microsoft::allows(policy, wanted),
        }
    }

    fn serve(&self, connection: &TcpStream, policy: Option<&Value>) -> io::Result<()> {
        let Some(request) = Request::read(&mut BufReader::new(connection)) else {
            return Ok(());
        };
        let (status, headers, body) = self.answer(&request, policy);
        let mut connection = connection;
        write!(
            connection,
            "HTTP/1.1 {status}\r\nETag: \"x\"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n{headers}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )?;
        if request.method != "HEAD" {
            connection.write_all(&body)?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request, policy: Option<&Value>) -> (&str, String, Vec<u8>) {
        let (_, name) = request.path[1..].split_once('/').unwrap_or_default();
        let (name, mut stored) = (&*decoded(name), self.stored.lock());
        let is_there = stored.contains_key(name);
        // Google looks at what is allowed and at conditions; Microsoft lets nobody write what is there who may only add.
        let is_new = is_for_new(request) && (!is_there || self.cloud == Cloud::Google);
        let wanted = match &*request.method {
            "PUT" if is_new || !is_there => Wanted::Create(name),
            "PUT" => Wanted::Replace(name),
            "DELETE" => Wanted::Delete(name),
            _ if name.is_empty() => Wanted::List(request.query.get("prefix").map_or("", |it| it)),
            _ => Wanted::Read(name),
        };
        if !self.allows(policy, wanted) {
            let code = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
            return ("403 Forbidden", String::new(), code.into());
        }
        let nothing = Vec::new;
        match wanted {
            Wanted::Create(_) if is_there => ("412 Precondition Failed", String::new(), nothing()),
            Wanted::Create(_) | Wanted::Replace(_) => {
                stored.insert(name.to_owned(), request.body.clone());
                ("201 Created", String::new(), nothing())
            }
            Wanted::Delete(_) => {
                stored.remove(name);
                ("204 No Content", String::new(), nothing())
            }
            Wanted::List(prefix) => {
                let delimiter = request.query.get("delimiter");
                let names = listed(stored.keys(), prefix, delimiter.is_some());
                ("200 OK", String::new(), self.listing(&names).into())
            }
            Wanted::Read(_) => match stored.get(name) {
                Some(content) => ("200 OK", String::new(), content.clone()),
                None => ("404 Not Found", String::new(), nothing()),
            },
        }
    }

    fn listing(&self, names: &BTreeSet<&str>) -> String {
        let mut text = String::new();
        for name in names {
            let is_folder = name.ends_with('/');
            let _ = match (self.cloud, is_folder) {
                (Cloud::Google, true) => {
                    write!(
                        text,
                        "<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
                    )
                }
                (Cloud::Google, false) => write!(
                    text,
                    "<Contents><Key>{name}</Key><Size>1</Size><LastModified>2015-10-21T07:28:00Z</LastModified>\
                     </Contents>"
                ),
                (Cloud::Microsoft, true) => {
                    write!(text, "<BlobPrefix><Name>{name}</Name></BlobPrefix>")
                }
                (Cloud::Microsoft, false) => write!(
                    text,
                    "<Blob><Name>{name}</Name><Properties><Last-Modified>Wed, 21 Oct 2015 07:28:00 GMT</Last-Modified>\
                     <Content-Length>1</Content-Length><Content-Type>x</Content-Type><Etag>x</Etag></Properties></Blob>"
                ),
            };
        }
        match self.cloud {
            Cloud::Google => format!("<ListBucketResult>{text}</ListBucketResult>"),
            Cloud::Microsoft => {
                format!(
                    "<EnumerationResults><Blobs>{text}</Blobs><NextMarker /></EnumerationResults>"
                )
            }
        }
    }
}

/// The names that begin so; of those in folders below only the folder, if that is wanted.
fn listed<'a>(
    names: impl Iterator<Item = &'a String>,
    prefix: &str,
    by_folder: bool,
) -> BTreeSet<&'a str> {
    let below = names.filter(|name| name.starts_with(prefix));
    below
        .map(|name| match name[prefix.len()..].find('/') {
            Some(end) if by_folder => &name[..=prefix.len() + end],
            _ => name,
        })
        .collect()
}

/// Whether a request is for an object that is not there yet.
fn is_for_new(request: &Request) -> bool {
    let of_google = request.headers.get("x-goog-if-generation-match");
    let of_microsoft = request.headers.get("if-none-match");
    of_google.is_some_and(|it| it == "0") || of_microsoft.is_some_and(|it| it == "*")
}

/// "IAM roles for Cloud Storage"; "IAM permissions for XML requests"; "Attribute reference for IAM Conditions".
mod google {
    use super::{BUCKET, Value, Wanted};

    pub(super) fn allows(policy: &Value, wanted: Wanted) -> bool {
        let bucket = format!("projects/_/buckets/{BUCKET}");
        let object = |name: &str| format!("{bucket}/objects/{name}");
        let (resource, prefix) = match wanted {
            Wanted::List(prefix) => (bucket, prefix),
            Wanted::Read(name)
            | Wanted::Create(name)
            | Wanted::Replace(name)
            | Wanted::Delete(name) => (object(name), ""),
        };
        let permissions: &[&str] = match wanted {
            Wanted::Read(_) => &["get"],
            Wanted::List(_) => &["list"],
            Wanted::Create(_) => &["create"],
            Wanted::Replace(_) => &["create", "delete"],
            Wanted::Delete(_) => &["delete"],
        };
        let bindings = policy["bindings"].as_array().expect("bindings");
        permissions.iter().all(|permission| {
            bindings.iter().any(|binding| {
                let role = binding["role"].as_str().expect("a role");
                let condition = binding["condition"]["expression"].as_str();
                permissions_of(role).contains(permission)
                    && condition
                        .expect("a condition")
                        .split(" && ")
                        .all(|term| holds(term, &resource, prefix))
            })
        })
    }

    fn permissions_of(role: &str) -> &'static [&'static str] {
        match role {
            "roles/storage.objectViewer" => &["get", "list"],
            "roles/storage.objectCreator" => &["create"],
            "roles/storage.objectUser" => &["get", "list", "create", "delete"],
            _ => panic!("no role of Google's: {role}"),
        }
    }

    const PREFIX: &str = r#"api.getAttribute("storage.googleapis.com/objectListPrefix", "")"#;

    fn holds(term: &str, resource: &str, prefix: &str) -> bool {
        let quoted = |text: &str, before: &str, after: &str| -> Option<String> {
            let text = text.strip_prefix(before)?.strip_suffix(after)?;
            Some(text.to_owned())
        };
        if let Some(name) = quoted(term, "resource.name == \"", "\"") {
            return resource == name;
        }
        if let Some(begin) = quoted(term, "resource.name.startsWith(\"", "\")") {
            return resource.starts_with(&begin);
        }
        if let Some(template) = quoted(term, "resource.name.extract(\"", "\") != \"\"") {
            return !extract(resource, &template).is_empty();
        }
        let begin = quoted(term, &format!("{PREFIX}.startsWith(\""), "\")");
        prefix.starts_with(&begin.unwrap_or_else(|| panic!("another kind of condition: {term}")))
    }

    /// What stands between the first place of what is before the braces and the next one of what is behind.
    fn extract<'a>(resource: &'a str, template: &str) -> &'a str {
        let (before, rest) = template.split_once('{').expect("a place to extract");
        let (_, after) = rest.split_once('}').expect("its end");
        let Some((_, found)) = resource.split_once(before) else {
            return "";
        };
        match found.find(after) {
            Some(end) => &found[..end],
            None => "",
        }
    }
}

/// "Actions and attributes for Azure role assignment conditions for Azure Blob Storage"; "Permissions for Blob service
/// operations".
mod microsoft {
    use super::{BUCKET, Value, Wanted};

    const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";

    pub(super) fn allows(policy: &Value, wanted: Wanted) -> bool {
        let (actions, name, prefix): (&[&str], _, _) = match wanted {
            Wanted::Read(name) => (&["read"], Some(name), None),
            Wanted::List(prefix) => (&["read"], None, Some(prefix)),
            Wanted::Create(name) => (&["add/action", "write"], Some(name), None),
            Wanted::Replace(name) => (&["write"], Some(name), None),
            Wanted::Delete(name) => (&["delete"], Some(name), None),
        };
        let assignments = policy["assignments"].as_array().expect("assignments");
        assignments.iter().any(|assignment| {
            let granted = assignment["dataActions"].as_array().expect("actions");
            let mut granted = granted.iter().filter_map(Value::as_str);
            let condition = assignment["condition"].as_str().expect("a condition");
            let is_granted = granted.any(|action| {
                let action = action.strip_prefix(BLOBS).expect("an action on blobs");
                actions.contains(&&action[1..])
            });
            is_granted && holds(condition, name, prefix)
        })
    }

    fn holds(condition: &str, name: Option<&str>, prefix: Option<&str>) -> bool {
        let terms = within_parentheses(condition);
        let (container, names) = terms.split_once(" AND ").expect("two terms");
        let mut names = within_parentheses(names).split(" OR ");
        let is_true = |term: &str| is_true(term, name, prefix);
        is_true(container) && names.any(is_true)
    }

    fn within_parentheses(text: &str) -> &str {
        let text = text.strip_prefix('(').and_then(|it| it.strip_suffix(')'));
        text.expect("parentheses")
    }

    /// A request without the attribute meets no condition on it.
    fn is_true(term: &str, name: Option<&str>, prefix: Option<&str>) -> bool {
        let mut words = term.splitn(3, ' ');
        let mut word = || words.next().expect("three words");
        let (attribute, operator, wanted) = (word(), word(), word());
        let value = match attribute.rsplit_once(':').expect("an attribute").1 {
            "name]" => Some(BUCKET),
            "path]" => name,
            "prefix]" => prefix,
            _ => panic!("no attribute of Microsoft's: {attribute}"),
        };
        let wanted = wanted.trim_matches('\'');
        value.is_some_and(|value| match operator {
            "StringEquals" => value == wanted,
            "StringLike" => is_like(value, wanted),
            _ => panic!("another operator: {operator}"),
        })
    }

    fn is_like(value: &str, pattern: &str) -> bool {
        match pattern.split_once('*') {
            None => value == pattern,
            Some((before, rest)) => value.strip_prefix(before).is_some_and(|value| {
                let ends = value.char_indices().map(|(at, _)| at);
                ends.chain([value.len()])
                    .any(|at| is_like(&value[at..], rest))
            }),
        }
    }
}
