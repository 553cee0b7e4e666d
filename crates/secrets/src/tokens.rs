//! Tokens that tell their vendor by their form: a table, to be read and kept like data.
//!
//! Each line is a name, what it is, the public beginning, the rest, and where that is written down. A
//! new one needs a case in `cases.txt`, which a test demands.

use crate::rule::Rule;

/// Vendors that publish a format to scanners only are in this list; the form is that of real tokens.
const PARTNERS: &str = "https://docs.github.com/en/code-security/reference/secret-security/supported-secret-scanning-patterns";
const GITHUB: &str =
    "https://github.blog/engineering/behind-githubs-new-authentication-token-formats/";
const GITHUB_APP: &str = "https://github.blog/changelog/2026-05-15-github-app-installation-tokens-per-request-override-header/";
const GITHUB_FINE: &str = "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github";
const NPM: &str = "https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/";
const GITLAB: &str = "https://docs.gitlab.com/security/tokens/";
const AWS: &str = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html";
const AZURE_SAS: &str =
    "https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas";
const AZURE_KEY: &str =
    "https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string";
const AZURE_DEVOPS: &str =
    "https://learn.microsoft.com/en-us/purview/sit-defn-azure-devops-personal-access-token";
const CLOUDFLARE: &str =
    "https://developers.cloudflare.com/fundamentals/api/get-started/token-formats/";
const SENTRY: &str = "https://docs.sentry.io/security-legal-pii/security/token-formats/";
const SLACK: &str = "https://docs.slack.dev/authentication/tokens/";
const SLACK_HOOK: &str =
    "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/";
const GOOGLE: &str = "https://cloud.google.com/docs/authentication/api-keys";
const GOOGLE_ACCOUNT: &str = "https://cloud.google.com/iam/docs/keys-create-delete";
const DOCKER: &str = "https://docs.docker.com/security/access-tokens/personal-access-tokens/";
const VAULT: &str = "https://developer.hashicorp.com/vault/docs/concepts/tokens";
const TERRAFORM: &str =
    "https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens";
const DISCORD: &str = "https://docs.discord.com/developers/reference";
const PEM: &str = "https://www.rfc-editor.org/rfc/rfc7468";
const JWT: &str = "https://www.rfc-editor.org/rfc/rfc7519";

/// The tokens, vendors in the order of how often images meet them.
#[rustfmt::skip]
pub(super) static TOKENS: &[Rule] = &[
    // Where code and images are kept.
    Rule::token("github-token", "a GitHub token", "gh[pour]_", "[A-Za-z0-9_]{36,251}", GITHUB).with_checksum(),
    Rule::token("github-app-token", "a GitHub app's token", "ghs_", "[A-Za-z0-9._-]{36,}", GITHUB_APP).with_checksum(),
    Rule::token("github-fine-grained-token", "a GitHub token", "github_pat_", "[A-Za-z0-9_]{36,244}", GITHUB_FINE),
    Rule::token("gitlab-token", "a GitLab token", "gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)-", "[A-Za-z0-9_.-]{20,}", GITLAB),
    Rule::token("bitbucket-password", "a Bitbucket app password", "ATBB", "[A-Za-z0-9]{32}", PARTNERS),
    Rule::token("atlassian-token", "an Atlassian API token", "ATATT3", "[A-Za-z0-9_=-]{100,}", PARTNERS),
    Rule::token("docker-token", "a Docker access token", "dckr_(?:pat|oat)_", "[A-Za-z0-9_-]{27,}", DOCKER),
    Rule::token("npm-token", "an npm access token", "npm_", "[A-Za-z0-9]{36}", NPM).with_checksum(),
    Rule::token("pypi-token", "a PyPI token", "pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)", "[A-Za-z0-9_-]{50,}", PARTNERS),
    Rule::token("rubygems-token", "a RubyGems API key", "rubygems_", "[a-f0-9]{48}", PARTNERS),
    Rule::token("crates-io-token", "a crates.io token", "cio", "[A-Za-z0-9]{32}", PARTNERS),
    Rule::token("artifactory-key", "an Artifactory API key", "AKCp", "[A-Za-z0-9]{69}", PARTNERS),
    Rule::token("artifactory-token", "an Artifactory reference token", "cmVmdGtu", "[A-Za-z0-9]{56}", PARTNERS),

    // Clouds.
    Rule::token("aws-access-key", "an AWS access key", "(?:AKIA|ASIA)", "[A-Z2-7]{16}", AWS),
    Rule::token("google-api-key", "a Google API key", "AIza", "[A-Za-z0-9_-]{35}", GOOGLE),
    Rule::token("google-oauth-secret", "a Google OAuth client secret", "GOCSPX-", "[A-Za-z0-9_-]{28}", PARTNERS),
    Rule::token("google-access-token", "a Google access token", r"ya29\.", "[A-Za-z0-9_-]{30,}", PARTNERS),
    Rule::token("google-service-account", "a Google service account key", "ew(?:ogICJ0eXBlIjogInNlcnZpY2VfYWNjb3VudC|ogICAgInR5cGUiOiAic2VydmljZV9hY2NvdW50)", "[A-Za-z0-9+/=]{40,}", GOOGLE_ACCOUNT).unchecked(),
    Rule::token("azure-sas", "an Azure shared access signature", "sig=", "[A-Za-z0-9%+/]{43,}(?:%3[Dd]|=)", AZURE_SAS).preceded_by("[?&;]"),
    Rule::behind("azure-storage-key", "an Azure storage key", "AccountKey=", "[A-Za-z0-9+/]{86}==", AZURE_KEY).at_random(),
    Rule::token("azure-client-secret", "a Microsoft Entra client secret", "", r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", PARTNERS),
    Rule::token("azure-devops-token", "an Azure DevOps token", "", "[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}", AZURE_DEVOPS),
    Rule::token("cloudflare-token", "a Cloudflare API token", "cf(?:k|ut|at)_", "[A-Za-z0-9]{40}[a-f0-9]{8}", CLOUDFLARE),
    Rule::token("cloudflare-ca-key", "a Cloudflare origin CA key", r"v1\.0-", "[a-f0-9]{24}-[a-f0-9]{146}", PARTNERS),
    Rule::token("digitalocean-token", "a DigitalOcean token", "do[opr]_v1_", "[a-f0-9]{64}", "https://docs.digitalocean.com/reference/api/create-personal-access-token/"),
    Rule::token("heroku-key", "a Heroku API key", "HRKU-", "[A-Za-z0-9_-]{36,}", PARTNERS),
    Rule::token("fly-token", "a Fly.io token", "fm[12][ar]?_", "[A-Za-z0-9+/=_-]{80,}", "https://fly.io/docs/security/tokens/"),
    Rule::token("netlify-token", "a Netlify token", "nf[pcoub]_", "[A-Za-z0-9]{36,}", PARTNERS),
    Rule::token("supabase-token", "a Supabase token", "(?:sbp_|sb_secret_)", "[A-Za-z0-9_-]{31,}", "https://supabase.com/docs/guides/api/api-keys"),
    Rule::token("planetscale-token", "a PlanetScale token", "pscale_(?:tkn|pw|oauth)_", "[A-Za-z0-9_=.-]{32,64}", PARTNERS),
    Rule::token("databricks-token", "a Databricks token", "dapi", "[a-f0-9]{32}(?:-[0-9])?", PARTNERS),
    Rule::token("tailscale-key", "a Tailscale key", "tskey-", "[a-z]+-[A-Za-z0-9]+-[A-Za-z0-9]{16,}", "https://tailscale.com/docs/reference/key-prefixes"),

    // What builds and deploys.
    Rule::token("vault-token", "a HashiCorp Vault token", r"hv[sbr]\.", "[A-Za-z0-9_-]{24,}", VAULT),
    Rule::token("terraform-token", "an HCP Terraform token", "", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}", TERRAFORM),
    Rule::token("pulumi-token", "a Pulumi token", "pul-", "[a-f0-9]{40}", "https://www.pulumi.com/docs/administration/access-identity/access-tokens/"),
    Rule::token("doppler-token", "a Doppler token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.", "[A-Za-z0-9._-]{40,}", "https://docs.doppler.com/reference/api"),
    Rule::token("onepassword-token", "a 1Password service account token", "ops_eyJ", "[A-Za-z0-9+/=_-]{200,}", "https://developer.1password.com/docs/service-accounts/"),
    Rule::token("circleci-token", "a CircleCI token", "CCI(?:PAT|PRJ)_", "[A-Za-z0-9]{22}_[a-f0-9]{40}", "https://circleci.com/docs/managing-api-tokens/"),
    Rule::token("buildkite-token", "a Buildkite token", "bk(?:ua|ct)_", "[A-Za-z0-9]{32,}", PARTNERS),
    Rule::token("sonar-token", "a SonarQube token", "sq[pua]_", "[a-f0-9]{40}", PARTNERS),
    Rule::token("grafana-token", "a Grafana service account token", "glsa_", "[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}", "https://grafana.com/docs/grafana/latest/administration/service-accounts/"),
    Rule::token("grafana-cloud-token", "a Grafana Cloud token", "glc_eyJ", "[A-Za-z0-9+/=]{40,}", PARTNERS),
    Rule::token("newrelic-key", "a New Relic user key", "NRAK-", "[A-Z0-9]{27}", "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/"),
    Rule::token("sentry-organization-token", "a Sentry organization token", "sntrys_eyJ", "[A-Za-z0-9+/=_-]{40,}", SENTRY),
    Rule::token("sentry-token", "a Sentry token", "sntry[ui]_", "[a-f0-9]{64}", SENTRY),
    Rule::token("dynatrace-token", "a Dynatrace token", r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.", "[A-Z0-9]{64}", "https://docs.dynatrace.com/docs/manage/identity-access-management/access-tokens-and-oauth-clients/access-tokens"),
    Rule::token("postman-key", "a Postman API key", "PMAK-", "[a-f0-9]{24}-[a-f0-9]{34}", PARTNERS),

    // Models.
    Rule::token("anthropic-key", "an Anthropic API key", "sk-ant-[a-z]{3,5}[0-9]{2}-", "[A-Za-z0-9_-]{80,}", PARTNERS),
    Rule::token("openai-key", "an OpenAI API key", "sk-(?:proj|svcacct|admin)-", "[A-Za-z0-9_-]{40,}", PARTNERS),
    Rule::token("openai-user-key", "an OpenAI API key", "sk-", "[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}", PARTNERS),
    Rule::token("openrouter-key", "an OpenRouter API key", "sk-or-v1-", "[a-f0-9]{64}", PARTNERS),
    Rule::token("huggingface-token", "a Hugging Face token", "(?:hf_|api_org_)", "[A-Za-z0-9]{34,}", "https://huggingface.co/docs/hub/security-tokens"),
    Rule::token("groq-key", "a Groq API key", "gsk_", "[A-Za-z0-9]{50,}", PARTNERS),
    Rule::token("xai-key", "an xAI API key", "xai-", "[A-Za-z0-9]{60,}", PARTNERS),
    Rule::token("replicate-token", "a Replicate API token", "r8_", "[A-Za-z0-9]{37}", "https://replicate.com/docs/topics/security/api-tokens"),
    Rule::token("perplexity-key", "a Perplexity API key", "pplx-", "[A-Za-z0-9]{40,}", PARTNERS),

    // Money, mail and messages.
    Rule::token("stripe-key", "a Stripe live key", "[sr]k_live_", "[A-Za-z0-9]{20,}", "https://docs.stripe.com/keys"),
    Rule::token("stripe-webhook-secret", "a Stripe webhook secret", "whsec_", "[A-Za-z0-9+/=]{32,}", "https://docs.stripe.com/webhooks"),
    Rule::token("square-token", "a Square access token", "EAAA", "[A-Za-z0-9_-]{60}", PARTNERS),
    Rule::token("square-secret", "a Square application secret", "sq0(?:csp|atp)-", "[A-Za-z0-9_-]{22,43}", PARTNERS),
    Rule::token("shopify-token", "a Shopify token", "shp(?:at|ca|pa|ss)_", "[A-Fa-f0-9]{32}", "https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens"),
    Rule::token("slack-token", "a Slack token", r"xox[abeoprs](?:\.xox[bp])?-", "[A-Za-z0-9-]{20,}", SLACK),
    Rule::token("slack-app-token", "a Slack app token", "xapp-", "[0-9]-[A-Z0-9]+-[0-9]+-[a-f0-9]{20,}", SLACK),
    Rule::token("slack-webhook", "a Slack webhook", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/", "[A-Za-z0-9/_+-]{30,}", SLACK_HOOK),
    Rule::token("discord-token", "a Discord bot token", "", r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}", DISCORD),
    Rule::token("discord-webhook", "a Discord webhook", r"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api/webhooks/", "[0-9]{17,20}/[A-Za-z0-9_-]{60,}", DISCORD),
    Rule::token("telegram-token", "a Telegram bot token", "[0-9]{8,10}:AA", "[A-Za-z0-9_-]{33}", "https://core.telegram.org/bots/features#botfather"),
    Rule::token("sendgrid-key", "a SendGrid API key", r"SG\.", r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys"),
    Rule::token("twilio-key", "a Twilio API key", "SK", "[a-f0-9]{32}", "https://www.twilio.com/docs/glossary/what-is-a-sid"),
    Rule::token("mailgun-key", "a Mailgun API key", "key-", "[a-f0-9]{32}", PARTNERS),
    Rule::token("mailchimp-key", "a Mailchimp API key", "", "[a-f0-9]{32}-us[0-9]{1,2}", "https://mailchimp.com/developer/marketing/guides/quick-start/"),
    Rule::token("brevo-key", "a Brevo API key", "xkeysib-", "[a-f0-9]{64}(?:-[A-Za-z0-9]{16})?", PARTNERS),

    // Where work is planned and drawn.
    Rule::token("linear-key", "a Linear API key", "lin_(?:api|oauth)_", "[A-Za-z0-9]{40,}", PARTNERS),
    Rule::token("notion-token", "a Notion token", "ntn_", "[A-Za-z0-9]{40,}", PARTNERS),
    Rule::token("airtable-token", "an Airtable token", r"pat[A-Za-z0-9]{14}\.", "[a-f0-9]{64}", "https://airtable.com/developers/web/guides/personal-access-tokens"),
    Rule::token("figma-token", "a Figma token", "fig[dru]_", "[A-Za-z0-9_-]{40,}", PARTNERS),

    // Keys of everybody.
    Rule::token("private-key", "a private key", "-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----", r"(?:[[:space:]]|\\[nr])*[A-Za-z0-9+/=][A-Za-z0-9+/=:,\\\x2d[:space:]]{30,}", PEM).preceded_by("").unchecked(),
    Rule::token("private-key-base64", "a private key", "LS0tLS1CRUdJTi(?:BSU0EgUFJJVkFUR|BQUklWQVRF|BPUEVOU1NIIFBSSVZBVEUg|BFQyBQUklWQVRF)", "[A-Za-z0-9+/=]{30,}", PEM).unchecked(),
    Rule::token("age-key", "an age identity", "AGE-SECRET-KEY-1", "[AC-HJ-NP-Z02-9]{58}", "https://age-encryption.org/v1"),
    Rule::token("jwt", "a JSON web token", "eyJ", r"[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}", JWT),
];
