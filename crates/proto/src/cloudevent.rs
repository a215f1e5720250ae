//! CloudEvents on the wire: encoding, decoding, and looking into one without decoding it.
