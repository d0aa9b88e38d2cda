"""The ground floor: Log (what happened), Tree (where things stand), Blobs (what never changes again), on `files`."""
