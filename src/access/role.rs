//! Roles and what they may do. One table; the matrix test walks all of it.

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// States, counts, channels, destinations.
    SeeState,
    /// Search for messages and see what is known of them; how much is the view level's matter.
    SeeMessages,
    /// See the bytes of a message, received or sent.
    SeeContent,
    /// Retry, release, skip, set aside, cancel a delivery.
    ActOnDeliveries,
    /// Send a message again.
    Resend,
    /// Send a message again that one has edited; see what that would be.
    EditMessage,
    /// Pause and resume a destination.
    SwitchDestinations,
    /// Put channel files in force.
    ApplyConfig,
    /// Read the audit trail.
    ReadAudit,
    /// Users, roles, API tokens.
    ManageAccess,
    /// Backup, retention now, certificates read again, the log level, the end of the engine.
    ManageSystem,
    /// Take emergency access.
    BreakGlass,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 12] = [
        Self::SeeState,
        Self::SeeMessages,
        Self::SeeContent,
        Self::ActOnDeliveries,
        Self::Resend,
        Self::EditMessage,
        Self::SwitchDestinations,
        Self::ApplyConfig,
        Self::ReadAudit,
        Self::ManageAccess,
        Self::ManageSystem,
        Self::BreakGlass,
    ];

    /// The word in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SeeState => "see_state",
            Self::SeeMessages => "see_messages",
            Self::SeeContent => "see_content",
            Self::ActOnDeliveries => "act_on_deliveries",
            Self::Resend => "resend",
            Self::EditMessage => "edit_message",
            Self::SwitchDestinations => "switch_destinations",
            Self::ApplyConfig => "apply_config",
            Self::ReadAudit => "read_audit",
            Self::ManageAccess => "manage_access",
            Self::ManageSystem => "manage_system",
            Self::BreakGlass => "break_glass",
        }
    }
}

/// How much of messages somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Numbers alone.
    Counts,
    /// Types, times, outcomes; no values.
    Metadata,
    /// Values with their letters hidden.
    Masked,
    /// Everything.
    Full,
}

impl View {
    /// Every level, from the least.
    pub const ALL: [Self; 4] = [Self::Counts, Self::Metadata, Self::Masked, Self::Full];

    /// The word in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Metadata => "metadata",
            Self::Masked => "masked",
            Self::Full => "full",
        }
    }

    /// The level with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }
}

/// A role. A person may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Ward and laboratory staff: sees what flows.
    Viewer,
    /// Help desk: resends as it was, skips, releases, pauses. Sees messages masked; whole by emergency access, with a
    /// reason.
    Operator,
    /// Writes channels; resends what they edited.
    Analyst,
    /// Puts channels in force.
    Releaser,
    /// Users and roles; sees no message.
    SecurityAdmin,
    /// Reads the trail; sees no message.
    Auditor,
    /// Nodes and store; sees no message.
    SystemAdmin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Viewer,
        Self::Operator,
        Self::Analyst,
        Self::Releaser,
        Self::SecurityAdmin,
        Self::Auditor,
        Self::SystemAdmin,
    ];

    /// The word in the API and in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Analyst => "analyst",
            Self::Releaser => "releaser",
            Self::SecurityAdmin => "security_admin",
            Self::Auditor => "auditor",
            Self::SystemAdmin => "system_admin",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it may do.
    #[must_use]
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Self::Viewer => &[P::SeeState, P::SeeMessages, P::BreakGlass],
            Self::Operator => &[
                P::SeeState,
                P::SeeMessages,
                P::SeeContent,
                P::ActOnDeliveries,
                P::Resend,
                P::SwitchDestinations,
                P::BreakGlass,
            ],
            Self::Analyst => &[
                P::SeeState,
                P::SeeMessages,
                P::SeeContent,
                P::ActOnDeliveries,
                P::Resend,
                P::EditMessage,
            ],
            Self::Releaser => &[P::SeeState, P::SeeMessages, P::ApplyConfig, P::SwitchDestinations],
            Self::SecurityAdmin => &[P::SeeState, P::ManageAccess],
            Self::Auditor => &[P::SeeState, P::ReadAudit],
            Self::SystemAdmin => &[P::SeeState, P::ManageSystem, P::SwitchDestinations],
        }
    }

    /// How much of messages it shows at most.
    #[must_use]
    pub const fn view(self) -> View {
        match self {
            Self::Viewer | Self::Operator => View::Masked,
            Self::Analyst => View::Full,
            Self::Releaser => View::Metadata,
            Self::SecurityAdmin | Self::Auditor | Self::SystemAdmin => View::Counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_has_every_right() {
        for role in Role::ALL {
            assert!(role.permissions().len() < Permission::ALL.len(), "{}", role.name());
        }
        let may = |role: Role, permission| role.permissions().contains(&permission);
        for role in Role::ALL {
            let people = may(role, Permission::ManageAccess);
            assert!(!(people && may(role, Permission::SeeMessages)), "{}", role.name());
            assert!(!(people && may(role, Permission::ReadAudit)), "{}", role.name());
        }
        let editing = Role::ALL.into_iter().filter(|role| may(*role, Permission::EditMessage));
        assert_eq!(editing.collect::<Vec<_>>(), [Role::Analyst]);
    }

    #[test]
    fn every_permission_belongs_to_a_role() {
        for permission in Permission::ALL {
            let held = Role::ALL.into_iter().any(|role| role.permissions().contains(&permission));
            assert!(held, "{}", permission.name());
        }
    }

    #[test]
    fn names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        for view in View::ALL {
            assert_eq!(View::from_name(view.name()), Some(view));
        }
        assert_eq!(Role::from_name("root"), None);
    }
}
