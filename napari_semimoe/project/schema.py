"""The index: SQLite tables of a project, format 1."""

from __future__ import annotations

#: Format of projects that this version writes; newer ones are refused in words.
FORMAT = 1

#: The index's file in a project's folder.
INDEX = "index.sqlite"

#: Which model took charge, and when; no round stands for the starter model.
PROMOTION = """CREATE TABLE promotion (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  round INTEGER REFERENCES round (number),
  created TEXT NOT NULL
)"""

#: ``annotation`` rows are history: triggers refuse to change or delete them.
SCHEMA = f"""
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE image (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  source TEXT NOT NULL,
  sha256 TEXT NOT NULL UNIQUE,
  path TEXT NOT NULL UNIQUE,
  height INTEGER NOT NULL,
  width INTEGER NOT NULL,
  um_per_px REAL NOT NULL CHECK (um_per_px > 0),
  patient TEXT,
  created TEXT NOT NULL
);

CREATE TABLE tile (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  image_id INTEGER NOT NULL REFERENCES image (id),
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  y0 INTEGER NOT NULL, x0 INTEGER NOT NULL, y1 INTEGER NOT NULL, x1 INTEGER NOT NULL,
  pool TEXT NOT NULL,
  content_hash TEXT NOT NULL UNIQUE
);
CREATE INDEX tile_pool ON tile (pool);
CREATE INDEX tile_image ON tile (image_id);

CREATE TABLE annotation (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tile_id INTEGER NOT NULL REFERENCES tile (id),
  version INTEGER NOT NULL,
  path TEXT NOT NULL UNIQUE,
  author TEXT NOT NULL,
  created TEXT NOT NULL,
  model TEXT,
  round INTEGER,
  origin TEXT NOT NULL,
  changed_px INTEGER NOT NULL,
  classes TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  seconds REAL NOT NULL,
  changed BLOB NOT NULL,
  UNIQUE (tile_id, version)
);
CREATE TRIGGER annotation_keeps_its_rows BEFORE DELETE ON annotation
  BEGIN SELECT RAISE(ABORT, 'annotations are append-only'); END;
CREATE TRIGGER annotation_keeps_its_values BEFORE UPDATE ON annotation
  BEGIN SELECT RAISE(ABORT, 'annotations are append-only'); END;

CREATE TABLE prediction (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tile_id INTEGER NOT NULL UNIQUE REFERENCES tile (id),
  path TEXT NOT NULL UNIQUE,
  model TEXT NOT NULL,
  created TEXT NOT NULL,
  disagreement REAL NOT NULL,
  foreground REAL NOT NULL,
  gates TEXT NOT NULL,
  expert_names TEXT NOT NULL
);

CREATE TABLE round (
  number INTEGER PRIMARY KEY,
  state TEXT NOT NULL,
  base TEXT,
  weights TEXT,
  created TEXT NOT NULL,
  ended TEXT,
  settings TEXT NOT NULL,
  report TEXT,
  note TEXT NOT NULL DEFAULT ''
);
{PROMOTION};

CREATE TABLE side (
  group_key TEXT PRIMARY KEY,
  validates INTEGER NOT NULL CHECK (validates IN (0, 1)),
  decided_by TEXT NOT NULL,
  created TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  created TEXT NOT NULL,
  author TEXT NOT NULL,
  what TEXT NOT NULL,
  tile_id INTEGER,
  detail TEXT NOT NULL
);
"""

#: Tables whose ``path`` column refers to arrays, and the folder of those arrays.
ARRAY_FOLDERS = {"image": "images", "annotation": "annotations", "prediction": "predictions"}

#: Folders of a project, made when it is created.
FOLDERS = (*ARRAY_FOLDERS.values(), "rounds", "models", "logs")
