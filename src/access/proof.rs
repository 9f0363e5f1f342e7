//! Showing who one is: signing in, and again before something grave.
//!
//! A password is hashed while others change things, so nothing that was read before the hash counts after
//! it: the user is read again, alone, and what a proof changes of them are single columns. A flood of
//! guesses neither undoes what an administrator does meanwhile nor counts as one guess.

use crate::access::door::{Actor, Begun, Denied, Door};
use crate::access::password;
use crate::access::totp;
use crate::message::secret::Secret;
use crate::message::time::Timestamp;
use crate::store::access::UserRecord;

impl Door {
    async fn verified(&self, password: Secret, hash: Secret) -> Result<bool, Denied> {
        let _permit = self.hashing.acquire().await.map_err(|_| Denied::Lost)?;
        let checked = tokio::task::spawn_blocking(move || password::verify(&password, &hash)).await;
        checked.map_err(|_| Denied::Lost)
    }

    /// Signs somebody in.
    ///
    /// # Errors
    /// One and the same answer for a wrong name, a wrong password and a locked account.
    pub async fn sign_in(
        &self,
        name: &str,
        password: Secret,
        code: Option<&str>,
        address: &str,
    ) -> Result<Begun, Denied> {
        let found = self.store.user(name).await?;
        let hash = found.and_then(|user| user.password);
        let right =
            self.verified(password, hash.clone().unwrap_or_else(|| self.decoy.clone())).await?;
        let Some(hash) = hash else { return Err(Denied::Unknown) };
        let _alone = self.alone().await;
        let user = self.proven(name, &hash, right).await?;
        let step = match &user.totp {
            None => user.totp_step,
            Some(secret) => {
                let Some(code) = code.filter(|code| !code.is_empty()) else {
                    return Err(Denied::SecondFactor);
                };
                let seconds = u64::try_from(self.clock.now().0 / 1_000_000).unwrap_or(0);
                let step = totp::accept(&user.name, secret, code, seconds, user.totp_step);
                let Ok(Some(step)) = step else {
                    self.failed(name).await?;
                    return Err(Denied::SecondFactor);
                };
                step
            }
        };
        self.store.user_signed_in(name, step).await?;
        self.begin(&user, address).await
    }

    /// The user as they are now, when what was compared with the password is still theirs and they are
    /// neither locked nor disabled. A wrong password is counted.
    async fn proven(&self, name: &str, hash: &Secret, right: bool) -> Result<UserRecord, Denied> {
        let user = self.store.user(name).await?.ok_or(Denied::Unknown)?;
        let is_theirs = user.password.as_ref().is_some_and(|now| now.expose() == hash.expose());
        if user.disabled || user.locked_until > self.clock.now() || !is_theirs {
            return Err(Denied::Unknown);
        }
        if !right {
            self.failed(name).await?;
            return Err(Denied::Unknown);
        }
        Ok(user)
    }

    /// Counts a wrong password; beyond the limit the account is locked, longer each time.
    async fn failed(&self, name: &str) -> Result<(), Denied> {
        let (limit, lock) = (self.options.failures_max, self.options.lock);
        Ok(self.store.user_failed(name, self.clock.now(), limit, lock).await?)
    }

    /// Somebody who is signed in shows again who they are. Wrong passwords count as they do at the door.
    ///
    /// # Errors
    /// When the password is wrong, the account is locked, or it is not a person who asks.
    pub async fn prove(&self, actor: &Actor, password: Secret) -> Result<UserRecord, Denied> {
        let name = actor.name.strip_prefix("user:").filter(|_| actor.session.is_some());
        let name = name.ok_or(Denied::Unknown)?;
        let user = self.store.user(name).await?.ok_or(Denied::Unknown)?;
        let hash = user.password.ok_or(Denied::Unknown)?;
        if user.locked_until > self.clock.now() {
            return Err(Denied::Unknown);
        }
        let right = self.verified(password, hash.clone()).await?;
        let _alone = self.alone().await;
        let user = self.proven(name, &hash, right).await?;
        self.store.user_signed_in(name, user.totp_step).await?;
        Ok(user)
    }

    /// Changes the password of somebody who knows the old one; their other sessions end.
    ///
    /// # Errors
    /// When the old password is wrong, or the new one cannot be chosen.
    pub async fn change_password(
        &self,
        actor: &Actor,
        old: Secret,
        new: Secret,
    ) -> Result<(), Denied> {
        let before = self.prove(actor, old).await?;
        let new = self.hash(&before.name, new).await?;
        let _alone = self.alone().await;
        let mut user = self.unchanged(&before).await?;
        user.password = Some(new);
        self.store.put_user(&user).await?;
        Ok(self.store.end_sessions(user.number, actor.session.as_ref()).await?)
    }

    /// Puts a second factor in force. Who has one already shows who they are with the password.
    ///
    /// # Errors
    /// When the password is wrong, or is missing and there is a factor.
    pub async fn put_factor(
        &self,
        actor: &Actor,
        password: Option<Secret>,
        secret: Vec<u8>,
        step: i64,
    ) -> Result<(), Denied> {
        let proves = password.is_some();
        let before = match password {
            Some(password) => self.prove(actor, password).await?,
            None => {
                let name = actor.name.strip_prefix("user:").ok_or(Denied::Unknown)?;
                self.store.user(name).await?.ok_or(Denied::Unknown)?
            }
        };
        let _alone = self.alone().await;
        let mut user = self.unchanged(&before).await?;
        if user.totp.is_some() && !proves {
            return Err(Denied::Unknown);
        }
        (user.totp, user.totp_step) = (Some(secret), step);
        Ok(self.store.put_user(&user).await?)
    }

    /// The user as they are now, when their password is the one that was just proven. Called alone.
    async fn unchanged(&self, before: &UserRecord) -> Result<UserRecord, Denied> {
        let now = self.store.user(&before.name).await?.ok_or(Denied::Unknown)?;
        let same = now.password == before.password && !now.disabled;
        if same { Ok(now) } else { Err(Denied::Unknown) }
    }

    /// Emergency access: everything is shown for a while, to somebody who says why and who they are again.
    ///
    /// # Errors
    /// When the password is wrong.
    pub async fn break_glass(&self, actor: &Actor, password: Secret) -> Result<Timestamp, Denied> {
        let hash = actor.session.ok_or(Denied::Unknown)?;
        self.prove(actor, password).await?;
        let now = self.clock.now();
        let (mut session, _) = self.store.session(&hash).await?.ok_or(Denied::Unknown)?;
        session.broken_until = now.after(self.options.emergency).min(session.ends_at);
        session.seen_at = now;
        self.store.touch_session(&session).await?;
        Ok(session.broken_until)
    }
}
