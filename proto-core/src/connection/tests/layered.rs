//! A connection with a byte layer that must write before it reads on.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::config::Config;
use crate::connection::{Connection, Role};
use crate::event::{Event, Message};
use crate::framing::{Format, Netman};
use crate::layer::{Layer, LayerError, Layers, MakeLayer};
use crate::time::Instant;

/// Changes every bit, and hands out nothing as long as it has output.
#[derive(Debug, Default)]
struct Inverted {
    held: Vec<u8>,
    output: Vec<u8>,
}

#[derive(Debug)]
struct Inverting;

impl MakeLayer for Inverting {
    fn make(&self, _: Role, _: u64) -> Box<dyn Layer> {
        Box::new(Inverted::default())
    }
}

fn inverted(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

impl Layer for Inverted {
    fn read(&mut self, raw: &mut [u8], plain: &mut dyn FnMut(&mut [u8])) -> Result<(), LayerError> {
        self.held.extend(inverted(raw));
        if self.output.is_empty() && !self.held.is_empty() {
            plain(&mut core::mem::take(&mut self.held));
        }
        Ok(())
    }

    fn write(&mut self, plain: &[u8]) -> usize {
        self.output.extend(inverted(plain));
        plain.len()
    }

    fn output(&self) -> &[u8] {
        &self.output
    }

    fn advance(&mut self, n: usize) {
        self.output.drain(..n);
    }

    fn shut_down(&mut self) {}

    fn is_within_a_record(&self) -> bool {
        false
    }

    fn must_write(&self) -> bool {
        !self.output.is_empty() && !self.held.is_empty()
    }

    fn held_bytes(&self) -> usize {
        self.held.capacity() + self.output.capacity()
    }
}

const NOW: Instant = Instant::EPOCH;

/// A message in netman's format, which has no handshake in front of it.
const HELLO: [u8; 13] = [5, 0, 0, 0, 3, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];

fn connection(role: Role) -> Connection {
    let (framing, layer) = (Some(Format::new(Netman)), Some(Layers::new(Inverting)));
    Connection::new(&Config { framing, layer, ..Config::default() }.share().unwrap(), role, NOW, 1)
}

#[track_caller]
fn assert_hello(event: Option<Event>) {
    let Some(Event::Push { message, .. }) = event else { panic!("no push, but {event:?}") };
    assert_eq!(message.body, "hello");
}

/// LW-8.4: a frame whose end the layer had kept back has arrived like any other.
#[test]
fn a_frame_that_the_layer_completes_later_is_complete() {
    let mut connection = connection(Role::Dialer);
    assert_eq!(connection.poll_event(), Some(Event::Open(None)));
    let (front, back) = HELLO.split_at(10);
    connection.handle_input(NOW, &mut inverted(front));
    assert!(connection.poll_timeout().is_some(), "it waits for the rest");
    connection.push(NOW, Message::new(3, "hello")).unwrap();
    connection.handle_input(NOW, &mut inverted(back));
    assert_eq!(connection.poll_event(), None, "the layer has to write first");
    let written: Vec<u8> = connection.transmit().flatten().copied().collect();
    assert_eq!(written, inverted(&HELLO));
    connection.advance_transmit(NOW, written.len());
    assert_hello(connection.poll_event());
    assert_eq!(connection.poll_timeout(), None);
}

#[test]
fn what_came_before_the_decision_goes_through_the_layer_once() {
    let mut connection = connection(Role::Acceptor);
    assert!(matches!(connection.poll_event(), Some(Event::Hello(_))));
    connection.handle_input(NOW, &mut inverted(&HELLO));
    connection.accept(NOW);
    assert_eq!(connection.poll_event(), Some(Event::Open(None)));
    assert_hello(connection.poll_event());
}
