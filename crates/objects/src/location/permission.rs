//! What must be allowed in each cloud.

use super::{Location, Scheme};
use crate::objects::Ability;

impl Location {
    /// The permission by which somebody has an ability, in the cloud's own words: Amazon's "Actions, resources, and
    /// condition keys for Amazon S3", Google's "IAM permissions for Cloud Storage", Azure's "Azure built-in roles for
    /// Storage", data actions of a container's blobs.
    pub fn permission(&self, ability: Ability) -> &'static str {
        match (self.scheme, ability) {
            (Scheme::File, Ability::List | Ability::Read | Ability::Range) => {
                "read permission in the directory"
            }
            (Scheme::File, _) => "write permission in the directory",
            (Scheme::S3, Ability::List) => "s3:ListBucket",
            (Scheme::S3, Ability::Read | Ability::Range) => "s3:GetObject",
            (Scheme::S3, Ability::Write | Ability::ConditionalWrite) => "s3:PutObject",
            (Scheme::S3, Ability::Delete) => "s3:DeleteObject",
            (Scheme::Gs, Ability::List) => "storage.objects.list",
            (Scheme::Gs, Ability::Read | Ability::Range) => "storage.objects.get",
            (Scheme::Gs, Ability::Write | Ability::ConditionalWrite) => "storage.objects.create",
            (Scheme::Gs, Ability::Delete) => "storage.objects.delete",
            (Scheme::Az, Ability::List | Ability::Read | Ability::Range) => "blobs/read",
            (Scheme::Az, Ability::Write | Ability::ConditionalWrite) => "blobs/write",
            (Scheme::Az, Ability::Delete) => "blobs/delete",
        }
    }
}
