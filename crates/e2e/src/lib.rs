//! Stories over the real processes: everything is in `tests/`. This library is empty and stays so.
