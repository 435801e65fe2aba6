//! The names that every adapter has, written once: whoever knows one adapter knows them all.

/// Names servers and clients for a runtime, as every adapter does: the types `Server`, `ServerBuilder`, `ClientBuilder` and
/// `SharedListener`, and the functions `connect`, `connect_with`, `client` and `listen`.
///
/// It takes the runtime, which must be [`Default`], how it is called in the documentation, and what makes a listening socket: a
/// function of an address and the length of the queue that returns the runtime's [`Socket`](crate::endpoint::Runtime::Socket).
///
/// ```
/// use proto_core::prelude::*;
/// # use proto_core::endpoint::{Listener, Runtime, Spawn};
/// # use proto_core::peer::{Io, Sleep};
/// # use std::{future::{Ready, ready}, io, net::{SocketAddr, TcpListener}, task::{Context, Poll}, time::Duration};
/// #
/// # #[derive(Clone, Default)]
/// # pub struct Mine;
/// # pub struct Part;
/// # impl Io for Part {
/// #     fn poll_read(&mut self, _: &mut Context<'_>, _: usize, _: &mut dyn FnMut(&mut [u8])) -> Poll<io::Result<usize>> { Poll::Pending }
/// #     fn poll_write(&mut self, _: &mut Context<'_>, _: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> { Poll::Pending }
/// #     fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> { Poll::Pending }
/// # }
/// # impl Sleep for Part { fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> { Poll::Pending } }
/// # impl Listener for Part {
/// #     type Stream = Part;
/// #     fn local_addr(&self) -> io::Result<SocketAddr> { Err(io::ErrorKind::Unsupported.into()) }
/// #     fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(Part, SocketAddr)>> { Poll::Pending }
/// # }
/// # impl Runtime for Mine {
/// #     type Stream = Part;
/// #     type Listener = Part;
/// #     type Socket = TcpListener;
/// #     type Sleep = Part;
/// #     type Resolving = Ready<io::Result<Vec<SocketAddr>>>;
/// #     type Connecting = Ready<io::Result<Part>>;
/// #     fn clock(&self) -> Clock { Clock::new(|| Instant::EPOCH) }
/// #     fn seed(&self) -> u64 { 1 }
/// #     fn sleep(&self) -> Part { Part }
/// #     fn resolve(&self, _: &str) -> Self::Resolving { ready(Err(io::ErrorKind::Unsupported.into())) }
/// #     fn bind(&self, _: SocketAddr, _: u32) -> io::Result<Part> { Ok(Part) }
/// #     fn adopt(&self, _: &TcpListener) -> io::Result<Part> { Ok(Part) }
/// #     fn connect(&self, _: SocketAddr) -> Self::Connecting { ready(Ok(Part)) }
/// # }
/// # impl<F> Spawn<F> for Mine { fn spawn(&self, _: F) {} }
/// #
/// fn listening_socket(address: SocketAddr, _backlog: u32) -> io::Result<TcpListener> {
///     TcpListener::bind(address)
/// }
///
/// proto_core::endpoints!(Mine, "a runtime of mine", listening_socket);
///
/// let shared: SharedListener = listen("127.0.0.1:0".parse().unwrap())?;
/// let _server: ServerBuilder<NoHandler> = Server::builder(NoHandler);
/// # let _ = (shared, |address: String| connect(address));
/// # io::Result::Ok(())
/// ```
#[macro_export]
macro_rules! endpoints {
    ($runtime:ident, $name:literal, $listen:path) => {
        #[doc = concat!("A server on ", $name, ".")]
        pub type Server<H> = $crate::endpoint::Server<$runtime, H>;
        #[doc = concat!("Configures a server on ", $name, ".")]
        pub type ServerBuilder<H> = $crate::endpoint::ServerBuilder<$runtime, H>;
        #[doc = concat!("Configures a client on ", $name, ".")]
        pub type ClientBuilder<H> = $crate::endpoint::ClientBuilder<$runtime, H>;
        /// An address that servers on several threads serve together; made by [`listen`].
        pub type SharedListener =
            $crate::endpoint::SharedListener<<$runtime as $crate::endpoint::Runtime>::Socket>;

        /// Connects to a server, to call and push; what the server calls gets `UNKNOWN_ROUTE`.
        ///
        /// # Errors
        /// If the address cannot be reached, or the handshake fails; the error names the address and the cause.
        ///
        /// # Cancel safety
        /// Dropping the future gives the attempt up: a connection that was made already is closed.
        pub async fn connect(
            address: impl Into<$crate::endpoint::Address>,
        ) -> Result<$crate::endpoint::Client, $crate::endpoint::ConnectError> {
            connect_with(address, $crate::peer::NoHandler).await
        }

        /// Connects to a server, and answers what the server calls and pushes.
        ///
        /// # Errors
        /// As for [`connect`].
        ///
        /// # Cancel safety
        /// As for [`connect`].
        pub async fn connect_with<H>(
            address: impl Into<$crate::endpoint::Address>,
            handler: H,
        ) -> Result<$crate::endpoint::Client, $crate::endpoint::ConnectError>
        where
            H: $crate::peer::Handler,
            $runtime: $crate::endpoint::Spawn<$crate::endpoint::ClientTask<$runtime, H>>,
        {
            client(handler).connect(address).await
        }

        /// A client that is configured before it connects.
        pub fn client<H: $crate::peer::Handler>(handler: H) -> ClientBuilder<H> {
            $crate::endpoint::Client::builder(handler)
        }

        /// Listens on an address for servers on several threads, which take their part with [`ServerBuilder::share`].
        ///
        /// # Errors
        /// The system's, if the address cannot be listened on.
        pub fn listen(address: ::core::net::SocketAddr) -> ::std::io::Result<SharedListener> {
            let socket = $listen(address, $crate::endpoint::BACKLOG)?;
            Ok(SharedListener::new(socket.local_addr()?, socket))
        }
    };
}
