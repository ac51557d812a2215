//! Sessions, fed with bodies and polled by hand.
