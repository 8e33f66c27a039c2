//! DTLS under str0m, with the cipher that suits the processors of both peers.
//!
//! A client lists the suites in its order of preference, and the server takes the first that it allows (RFC 5246,
//! section 7.4.1.2, over DTLS). A server whose processor has no AES allows only ChaCha20-Poly1305 if the client offers
//! it, and otherwise takes what the client offers.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use dimpl::crypto::{Dtls12CipherSuite, SupportedDtls12CipherSuite};
use dimpl::{Config, Dtls};
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

use crate::processor::Processor;

/// Maximum number of datagrams one end keeps until its output is polled; one more ends the connection. So a connection
/// keeps at most 2 MiB, or 45 KiB if the peer's packets are no longer than its path carries.
pub(super) const MAX_QUEUED: usize = 30;

/// The number of `TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256` (RFC 7905, section 2).
const CHACHA20: [u8; 2] = [0xCC, 0xA9];

type Suites = [&'static dyn SupportedDtls12CipherSuite];

/// Returns the cryptography for a PeerConnection on this processor.
pub(super) fn crypto(processor: Processor) -> CryptoProvider {
    static WITH_AES: Provider = Provider { processor: Processor::WithAes };
    static WITHOUT_AES: Provider = Provider { processor: Processor::WithoutAes };
    let dtls_provider = match processor {
        Processor::WithAes => &WITH_AES,
        Processor::WithoutAes => &WITHOUT_AES,
    };
    CryptoProvider { dtls_provider, ..from_feature_flags() }
}

/// Returns all suites, those that suit the processor first.
fn suites(processor: Processor) -> &'static Suites {
    static WITH_AES: LazyLock<Vec<&dyn SupportedDtls12CipherSuite>> = LazyLock::new(|| sorted(Processor::WithAes));
    static WITHOUT_AES: LazyLock<Vec<&dyn SupportedDtls12CipherSuite>> =
        LazyLock::new(|| sorted(Processor::WithoutAes));
    match processor {
        Processor::WithAes => &WITH_AES,
        Processor::WithoutAes => &WITHOUT_AES,
    }
}

fn sorted(processor: Processor) -> Vec<&'static dyn SupportedDtls12CipherSuite> {
    let mut suites = dimpl::crypto::aws_lc_rs::default_provider().cipher_suites.to_vec();
    processor.sort(&mut suites, |suite| suite.suite() == Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256);
    suites
}

#[derive(Debug)]
struct Provider {
    processor: Processor,
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        if version != DtlsVersion::Dtls12 {
            return Err(CryptoError::Other(format!("not spoken here: DTLS {version}")));
        }
        let make = |allowed: Option<Dtls12CipherSuite>| {
            // ICE has proved that the peer is at the address its datagrams come from.
            let mut config = Config::builder().use_server_cookie(false).max_queue_rx(MAX_QUEUED);
            let mut crypto = dimpl::crypto::aws_lc_rs::default_provider();
            crypto.cipher_suites = suites(self.processor);
            config = config.with_crypto_provider(crypto);
            if let Some(mtu) = mtu {
                config = config.mtu(mtu);
            }
            if let Some(suite) = allowed {
                config = config.dtls12_cipher_suites(&[suite]);
            }
            let config = config.build().map_err(|error| CryptoError::Other(error.to_string()))?;
            Ok::<_, CryptoError>(Dtls::new_12(Arc::new(config), certificate.clone(), now))
        };
        let dtls = make(None)?;
        let with_chacha20 = match self.processor.wants_chacha20() {
            true => Some(make(Some(Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256))?),
            false => None,
        };
        Ok(Box::new(End { dtls, with_chacha20, now }))
    }
}

/// One end of DTLS.
struct End {
    dtls: Dtls,
    /// Replaces `dtls` at a server if the client offers ChaCha20; `None` at a client, and once that is decided.
    with_chacha20: Option<Dtls>,
    now: Instant,
}

impl End {
    /// Reads the client's offer, if that has not been done. The server has sent nothing before; a fragment that
    /// overtook the first is sent again.
    fn choose(&mut self, datagram: &[u8]) -> Result<(), DtlsImplError> {
        if self.with_chacha20.is_none() {
            return Ok(());
        }
        let Some(offered) = offered(datagram) else { return Ok(()) };
        if let Some(mut dtls) = self.with_chacha20.take()
            && offered.chunks_exact(2).any(|suite| suite == CHACHA20)
        {
            dtls.set_active(false);
            dtls.handle_timeout(self.now)?;
            self.dtls = dtls;
        }
        Ok(())
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").finish_non_exhaustive()
    }
}

impl DtlsInstance for End {
    fn set_active(&mut self, active: bool) {
        if active {
            self.with_chacha20 = None;
        }
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.choose(packet)?;
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.dtls.poll_output(buf)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}

/// Returns the suites of a ClientHello, two bytes each, if the datagram begins with one, or with a first fragment that
/// contains them all (RFC 6347, sections 4.1, 4.2.1 and 4.2.2).
fn offered(datagram: &[u8]) -> Option<&[u8]> {
    let (record, rest) = datagram.split_at_checked(13)?;
    let (message, rest) = rest.split_at_checked(12)?;
    let is_handshake = record[0] == 22 && record[3..5] == [0, 0];
    let is_beginning = message[0] == 1 && message[6..9] == [0, 0, 0];
    if !is_handshake || !is_beginning {
        return None;
    }
    // The version and the client's random, the session id, the cookie.
    let (_, rest) = rest.split_at_checked(34)?;
    let rest = after_short(after_short(rest)?)?;
    let (len, rest) = rest.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*len)))
}

/// Returns the bytes after a field with one byte of length.
fn after_short(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first()?;
    rest.get(usize::from(*len)..)
}

#[cfg(test)]
#[path = "dtls_tests.rs"]
mod tests;
