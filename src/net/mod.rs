//! Sockets: the only place, beside the driver, that touches the network.
