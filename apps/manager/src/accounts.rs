//! Who is calling, and what may they do?
//!
//! An administrator is known from the candidate (`mgt-config/users/entry/phash`, at once, before any
//! commit). The password that `admin` gets at the first start is in the manager's database; it counts only
//! while the entry of `admin` has no `phash`, or there is neither such an entry nor another superuser.

mod check;
pub(crate) mod policy;
mod presence;
pub(crate) mod rights;
pub(crate) mod scope;
mod throttle;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use bartizan_model::tree::Element;
use tokio::sync::Semaphore;

use crate::store::audit::AuditLine;
use crate::store::{Store, digest, now_us};
use crate::{lock, random};
pub(crate) use check::check;
use presence::Presence;
pub(crate) use presence::Present;
pub(crate) use rights::{Right, Role};
use scope::Access;
use throttle::Throttle;

/// Name of the first administrator.
pub(crate) const FIRST_ADMINISTRATOR: &str = "admin";

/// A key's length: 40 letters and digits are 238 bits.
const KEY_LENGTH: usize = 40;
/// Each argon2id run takes 19 MiB for some 20 ms; more at once only slow each other down.
const HASHES_AT_ONCE: usize = 2;
/// A client that sends name and password with each request is verified once in this time.
const REMEMBER: Duration = Duration::from_secs(60);
/// Verified name and password pairs that are remembered.
const REMEMBERED_MAX: usize = 256;
/// Longest password that is hashed.
const PASSWORD_MAX: usize = 1024;

const MINUTE_US: i64 = 60_000_000;
/// Where the manager says how many minutes a key may be used.
const KEY_LIFETIME: &str =
    "/config/devices/entry[@name='localhost.localdomain']/deviceconfig/setting/management/api/key/lifetime";
/// The longest lifetime, a year (PAN-OS administrator's guide, "Configure API Key Lifetime").
const KEY_LIFETIME_MINUTES_MAX: u32 = 525_600;

/// Minutes that a key may be used; `None` for ever. The text that is no such number is the error.
fn key_lifetime(configuration: &Element) -> Result<Option<u32>, String> {
    let path = ["deviceconfig", "setting", "management", "api", "key", "lifetime"];
    let own = configuration.child("devices").and_then(|devices| devices.entry_named("localhost.localdomain"));
    let Some(text) = own.and_then(|own| own.descend(&path)).map(Element::text) else { return Ok(None) };
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(minutes) if minutes <= KEY_LIFETIME_MINUTES_MAX => Ok(Some(minutes)),
        Ok(_) | Err(_) => Err(text),
    }
}

/// An authenticated administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Name.
    pub(crate) name: String,
    /// What the administrator may do.
    pub(crate) role: Role,
    /// Where the request came from.
    pub(crate) host: IpAddr,
    /// By which door it came.
    pub(crate) door: Door,
}

/// By which door a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// The XML API.
    Xml,
    /// The JSON API.
    Json,
    /// None: a run of a playbook.
    Automation,
}

impl Door {
    /// The `client` of the config log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Xml => "XMLAPI",
            Self::Json => "JSONAPI",
            Self::Automation => "AUTOMATION",
        }
    }
}

impl Caller {
    /// Whoever asks what everybody may know.
    pub(crate) fn nobody(host: IpAddr) -> Self {
        Self { name: String::new(), role: Role::Unsupported, host, door: Door::Json }
    }

    /// A line of the config log: something that the caller did.
    pub(crate) fn did(&self, cmd: &str, path: impl Into<String>) -> AuditLine {
        AuditLine {
            admin: self.name.clone(),
            host: self.host.to_string(),
            client: self.door.as_str().into(),
            cmd: cmd.into(),
            path: path.into(),
            result: "Succeeded".into(),
            ..AuditLine::default()
        }
    }

    /// What the caller may see of a configuration.
    pub(crate) fn view(&self, root: &Arc<Element>) -> Arc<Element> {
        self.role.scope().map_or_else(|| root.clone(), |scope| scope.view(root))
    }

    /// Whether an XPath may be read; only those whose role is for a part of the configuration are refused any.
    pub(crate) fn may_see(&self, xpath: &str) -> bool {
        self.role.scope().is_none_or(|scope| scope.access(xpath) >= Access::Read)
    }
}

/// Why there is no caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// Unknown name, wrong password or key.
    #[error("Invalid Credential")]
    Invalid,
    /// A key that was made too long ago.
    #[error("Invalid Credential: the API key is older than {minutes} minutes, make another one with type=keygen")]
    Expired {
        /// How long a key may be used.
        minutes: u32,
    },
    /// Too many wrong passwords from that address.
    #[error("Invalid Credential: too many failed logins from `{address}`, try again in {wait_s} s")]
    Throttled {
        /// Whose attempts are refused.
        address: IpAddr,
        /// For how long.
        wait_s: u64,
    },
    /// Not the caller's fault.
    #[error("the login cannot be checked: {0}")]
    Internal(String),
}

impl From<sqlx::Error> for LoginError {
    fn from(error: sqlx::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

/// Administrators, keys and the limits on guessing.
pub(crate) struct Accounts {
    store: Store,
    hashing: Semaphore,
    throttle: Mutex<Throttle>,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    /// Who is there.
    pub(crate) presence: Presence,
    /// Verified when the name is unknown, so that unknown and known names take equally long.
    decoy: String,
}

struct Account {
    hash: String,
    role: Role,
}

impl Accounts {
    /// Opens the accounts; makes the first administrator when there is none, unless nobody is to log in. Returns the
    /// password that was made for it, to be shown once.
    pub(crate) async fn open(store: Store, password: Option<Option<&str>>) -> anyhow::Result<(Self, Option<String>)> {
        let mut made = None;
        if let Some(password) = password
            && !store.has_administrators().await?
        {
            let password = match password {
                Some(password) => password.to_owned(),
                None => made.insert(random::alphanumeric(20)).clone(),
            };
            let hash = hash_password(&password).context("cannot hash the first administrator's password")?;
            store.put_administrator(FIRST_ADMINISTRATOR, &hash).await?;
        }
        let accounts = Self {
            store,
            hashing: Semaphore::new(HASHES_AT_ONCE),
            throttle: Mutex::default(),
            remembered: Mutex::default(),
            presence: Presence::default(),
            decoy: hash_password("decoy")?,
        };
        Ok((accounts, made))
    }

    /// Checks name and password.
    pub(crate) async fn login(
        &self,
        candidate: &Element,
        host: IpAddr,
        name: &str,
        password: &str,
    ) -> Result<Caller, LoginError> {
        let now = Instant::now();
        if let Some(wait) = lock(&self.throttle).wait(host, now) {
            return Err(LoginError::Throttled { address: host, wait_s: wait.as_secs() + 1 });
        }
        let account = self.account(candidate, name).await?;
        let role = account.as_ref().map(|account| account.role.clone());
        let hash = account.map_or_else(|| self.decoy.clone(), |account| account.hash);
        let fits = self.verify(password, hash).await?;
        let Some(role) = role.filter(|_| fits) else {
            lock(&self.throttle).failed(host, now);
            return Err(LoginError::Invalid);
        };
        lock(&self.throttle).succeeded(host);
        Ok(Caller { name: name.to_owned(), role, host, door: Door::Xml })
    }

    /// Makes a key for an administrator who just logged in.
    pub(crate) async fn make_key(&self, candidate: &Element, caller: &Caller) -> Result<String, LoginError> {
        let account = self.account(candidate, &caller.name).await?.ok_or(LoginError::Invalid)?;
        let key = random::alphanumeric(KEY_LENGTH);
        self.store.add_key(&key, &caller.name, &digest(account.hash.as_bytes())).await?;
        Ok(key)
    }

    /// Whose key is it? A key ends when its administrator is deleted or changes the password, and with the lifetime
    /// that the running configuration gives it.
    pub(crate) async fn by_key(
        &self,
        candidate: &Element,
        running: &Element,
        host: IpAddr,
        key: &str,
    ) -> Result<Caller, LoginError> {
        let stored = self.store.key(key).await?.ok_or(LoginError::Invalid)?;
        let account = self.account(candidate, &stored.administrator).await?.ok_or(LoginError::Invalid)?;
        if digest(account.hash.as_bytes()).as_slice() != stored.credential {
            return Err(LoginError::Invalid);
        }
        if let Ok(Some(minutes)) = key_lifetime(running)
            && now_us().saturating_sub(stored.created_us) > i64::from(minutes) * MINUTE_US
        {
            return Err(LoginError::Expired { minutes });
        }
        Ok(Caller { name: stored.administrator, role: account.role, host, door: Door::Xml })
    }

    /// How long an address must wait after too many wrong passwords or auth keys.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        lock(&self.throttle).wait(address, Instant::now())
    }

    /// An address showed a wrong auth key.
    pub(crate) fn failed(&self, address: IpAddr) {
        lock(&self.throttle).failed(address, Instant::now());
    }

    async fn account(&self, candidate: &Element, name: &str) -> Result<Option<Account>, LoginError> {
        if let Some(account) = configured_account(candidate, name) {
            return Ok(Some(account));
        }
        let Some(role) = first_password(candidate).filter(|_| name == FIRST_ADMINISTRATOR) else {
            return Ok(None);
        };
        let hash = self.store.password_hash(name).await?;
        Ok(hash.map(|hash| Account { hash, role }))
    }

    async fn verify(&self, password: &str, hash: String) -> Result<bool, LoginError> {
        if password.len() > PASSWORD_MAX {
            return Ok(false);
        }
        // The hash is salted, so a changed password misses.
        let memory = digest(format!("{hash}\0{password}").as_bytes());
        let now = Instant::now();
        if lock(&self.remembered).get(&memory).is_some_and(|since| now.duration_since(*since) < REMEMBER) {
            return Ok(true);
        }
        let _turn = self.hashing.acquire().await.map_err(|error| LoginError::Internal(error.to_string()))?;
        let password = password.to_owned();
        let fits = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
        .map_err(|error| LoginError::Internal(error.to_string()))?;
        if fits {
            let mut remembered = lock(&self.remembered);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.retain(|_, since| now.duration_since(*since) < REMEMBER);
            }
            if remembered.len() < REMEMBERED_MAX {
                remembered.insert(memory, now);
            }
        }
        Ok(fits)
    }
}

/// Prints the password that was made for the first administrator, if one was.
pub(crate) fn show_password(made: Option<String>) -> std::io::Result<()> {
    let Some(password) = made else { return Ok(()) };
    writeln!(
        std::io::stdout(),
        "first start: administrator `{FIRST_ADMINISTRATOR}` has the password `{password}` (shown only now)"
    )
}

/// An argon2id hash with a fresh salt, in the form that `phash` may hold.
pub(crate) fn hash_password(password: &str) -> anyhow::Result<String> {
    anyhow::ensure!(!password.is_empty(), "the password is empty");
    anyhow::ensure!(password.len() <= PASSWORD_MAX, "the password is longer than {PASSWORD_MAX} bytes");
    let salt = SaltString::encode_b64(&random::bytes::<16>()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let hash =
        Argon2::default().hash_password(password.as_bytes(), &salt).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(hash.to_string())
}

/// Whether a `phash` is one that this manager can verify.
pub(crate) fn is_verifiable(phash: &str) -> bool {
    phash.starts_with("$argon2id$") && PasswordHash::new(phash).is_ok()
}

/// Whether anybody could log in as superuser: with a `phash`, or with the first password.
pub(crate) fn has_superuser(candidate: &Element) -> bool {
    let usable = |(name, user): (&str, &Element)| {
        Role::of(candidate, user) == Role::Superuser && configured_account(candidate, name).is_some()
    };
    first_password(candidate) == Some(Role::Superuser) || users(candidate).any(usable)
}

fn configured_account(candidate: &Element, name: &str) -> Option<Account> {
    let (_, user) = users(candidate).find(|(user, _)| *user == name)?;
    let hash = user.child("phash")?.text();
    is_verifiable(&hash).then(|| Account { hash, role: Role::of(candidate, user) })
}

/// What the first password allows; `None` when it does not count.
fn first_password(candidate: &Element) -> Option<Role> {
    match users(candidate).find(|(name, _)| *name == FIRST_ADMINISTRATOR) {
        Some((_, admin)) => admin.child("phash").is_none().then(|| Role::of(candidate, admin)),
        None => {
            users(candidate).all(|(_, user)| Role::of(candidate, user) != Role::Superuser).then_some(Role::Superuser)
        }
    }
}

fn users(candidate: &Element) -> impl Iterator<Item = (&str, &Element)> {
    let users = candidate.descend(&["mgt-config", "users"]).into_iter().flat_map(Element::entries);
    users.map(|(name, user)| (name, &**user))
}

#[cfg(test)]
mod tests {
    use bartizan_model::xml;

    use super::*;

    fn living(lifetime: &str) -> Element {
        let own = format!(
            "<deviceconfig><setting><management><api><key><lifetime>{lifetime}</lifetime></key></api></management></setting></deviceconfig>"
        );
        xml::parse(&format!("<config><devices><entry name=\"localhost.localdomain\">{own}</entry></devices></config>"))
            .unwrap()
    }

    #[tokio::test]
    async fn a_key_ends_with_its_lifetime() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path(), None).await.unwrap();
        let (accounts, _) = Accounts::open(store.clone(), Some(Some("first password"))).await.unwrap();
        let (nothing, host) = (Element::new("config"), IpAddr::from([127, 0, 0, 1]));
        let caller = accounts.login(&nothing, host, "admin", "first password").await.unwrap();
        let key = accounts.make_key(&nothing, &caller).await.unwrap();
        let by_key = async |running: &Element| accounts.by_key(&nothing, running, host, &key).await;
        assert_eq!(by_key(&living("60")).await.as_ref(), Ok(&caller));
        assert_eq!(store.age_keys(61 * MINUTE_US).await.unwrap(), 1);
        assert_eq!(by_key(&living("60")).await, Err(LoginError::Expired { minutes: 60 }));
        for long in [living("0"), living("62"), nothing.clone()] {
            assert_eq!(by_key(&long).await.as_ref(), Ok(&caller));
        }
        assert_eq!(store.end_keys(Some("nobody")).await.unwrap(), 0);
        assert_eq!(store.end_keys(Some("admin")).await.unwrap(), 1);
        assert_eq!(by_key(&nothing).await, Err(LoginError::Invalid));
    }

    #[test]
    fn a_lifetime_is_minutes_of_a_year_at_most() {
        assert_eq!(key_lifetime(&living("525600")), Ok(Some(525_600)));
        for wrong in ["525601", "-1", "soon", ""] {
            assert_eq!(key_lifetime(&living(wrong)), Err(wrong.to_owned()));
        }
    }
}
