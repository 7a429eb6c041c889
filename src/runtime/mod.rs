//! Loads an image, attaches it, and turns what it sends into output until it is time to stop.
