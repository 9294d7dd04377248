"""Engines are processes behind an address: fetched, started, watched and ended here; no other code knows how."""
