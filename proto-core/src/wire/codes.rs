//! Numbers with names: why a connection ended, how a call went (PROTOCOL.md §10).

use core::fmt;

macro_rules! codes {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $constant:ident = $number:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$doc])* pub const $constant: Self = Self($number);)*

            /// The name that PROTOCOL.md gives this number, if it gives one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($constant)),)*
                    _ => None,
                }
            }

            /// Every number that has a name, in order.
            pub const NAMED: &[Self] = &[$(Self::$constant),*];
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }
    };
}

codes! {
    /// Why a connection ends. Numbers from [`APPLICATION`](Self::APPLICATION) on are the application's.
    CloseCode {
        /// Done.
        NORMAL = 0x0000,
        /// The endpoint is shutting down.
        GOING_AWAY = 0x0001,
        /// Nothing was said for too long.
        IDLE = 0x0002,
        /// The connection has lived long enough.
        MAX_AGE = 0x0003,
        /// Another connection took over the session.
        REPLACED = 0x0004,
        /// The peer does not speak LW.
        BAD_PREFACE = 0x0101,
        /// No common version.
        UNSUPPORTED_VERSION = 0x0102,
        /// HELLO or WELCOME cannot be accepted.
        BAD_HELLO = 0x0103,
        /// The handshake took too long.
        HANDSHAKE_TIMEOUT = 0x0104,
        /// The application refused the connection.
        REFUSED = 0x0105,
        /// The application refused the credentials.
        BAD_CREDENTIALS = 0x0106,
        /// Too many connections, or too much work.
        OVERLOADED = 0x0107,
        /// A frame of a kind that is not known and not ignorable.
        UNKNOWN_KIND = 0x0201,
        /// Flags that the kind does not allow.
        BAD_FLAGS = 0x0202,
        /// A sequence that the kind does not allow.
        BAD_SEQUENCE = 0x0203,
        /// A length that the kind does not allow.
        BAD_LENGTH = 0x0204,
        /// A frame longer than the limit in force.
        FRAME_TOO_LARGE = 0x0205,
        /// A message longer than announced.
        MESSAGE_TOO_LARGE = 0x0206,
        /// A frame that the state does not allow.
        UNEXPECTED_FRAME = 0x0207,
        /// An extension block that cannot be read.
        BAD_EXTENSION = 0x0208,
        /// A reply to a call that is not in flight.
        UNKNOWN_CALL = 0x0209,
        /// A request in a slot that is not free.
        SLOT_IN_USE = 0x020A,
        /// A request in a slot that was not granted.
        SLOT_BEYOND_LIMIT = 0x020B,
        /// More was sent than granted.
        CREDIT_EXCEEDED = 0x020C,
        /// A grant that goes back.
        BAD_CREDIT = 0x020D,
        /// A fragment that does not fit its message.
        BAD_FRAGMENT = 0x020E,
        /// A frame whose capability was not announced.
        NOT_NEGOTIATED = 0x020F,
        /// A code where there must be none.
        BAD_CODE = 0x0210,
        /// Nothing arrived for too long.
        PEER_SILENT = 0x0301,
        /// A frame took too long to arrive.
        TOO_SLOW = 0x0302,
        /// The peer took nothing for too long.
        WRITE_STALLED = 0x0303,
        /// Pings came more often than allowed.
        TOO_MANY_PINGS = 0x0304,
        /// The endpoint failed.
        INTERNAL = 0x0401,
    }
}

codes! {
    /// How a call went. 0 is success; numbers from [`APPLICATION`](Self::APPLICATION) on are the application's.
    StatusCode {
        /// Success.
        OK = 0,
        /// There is no such route. The call was not run.
        UNKNOWN_ROUTE = 1,
        /// The body could not be understood. The call was not run.
        BAD_REQUEST = 2,
        /// The handler broke while it ran.
        HANDLER_FAILED = 3,
        /// The deadline passed before the call was run.
        DEADLINE_EXPIRED = 4,
        /// The call was cancelled, perhaps while it ran.
        CANCELLED = 5,
        /// Too much to do. The call was not run.
        OVERLOADED = 6,
        /// The callee is coming to an end. The call was not run.
        DRAINING = 7,
        /// The call was run, but its result is longer than the caller takes.
        REPLY_TOO_LARGE = 8,
        /// The call was run, but its result did not fit what the callee keeps for replies that wait to be sent.
        REPLY_DISCARDED = 9,
        /// The caller has not said who it is. The call was not run.
        UNAUTHENTICATED = 10,
        /// The caller may not do this. The call was not run.
        FORBIDDEN = 11,
        /// The callee does not do such things. The call was not run.
        UNSUPPORTED = 12,
    }
}

impl CloseCode {
    /// The first number that is the application's.
    pub const APPLICATION: Self = Self(0x8000_0000);
}

impl StatusCode {
    /// The first number that is the application's.
    pub const APPLICATION: Self = Self(1024);

    /// Whether the call succeeded.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// Whether the callee may have run the call: when it has not, it is safe to call again.
    pub const fn may_have_run(self) -> bool {
        !matches!(
            self,
            Self::UNKNOWN_ROUTE
                | Self::BAD_REQUEST
                | Self::DEADLINE_EXPIRED
                | Self::OVERLOADED
                | Self::DRAINING
                | Self::UNAUTHENTICATED
                | Self::FORBIDDEN
                | Self::UNSUPPORTED
        )
    }
}
