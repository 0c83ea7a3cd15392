-- A certificate that a device was given and has not used yet; empty without one.
ALTER TABLE devices ADD COLUMN next_certificate_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN next_certificate_expiry_us INTEGER NOT NULL DEFAULT 0;
