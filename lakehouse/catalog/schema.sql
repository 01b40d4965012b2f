-- Products and profiles as the shop sees them now, with every version they ever had.
-- Runs inside the schema that search_path names; running it again changes nothing. What values the columns may hold
-- is the contract's to say: constraints.py.

CREATE TABLE IF NOT EXISTS products (
    product_id  text PRIMARY KEY,
    category    text NOT NULL,
    brand       text NOT NULL,
    price_cents bigint NOT NULL,
    valid_from  timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS profiles (
    user_id    text PRIMARY KEY,
    country    text NOT NULL,
    segment    text NOT NULL,
    valid_from timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);

-- A version's life on the way to Kafka: published_at null (not yet), then set (its event_time is decided, and it
-- may have been sent), then sent.
CREATE TABLE IF NOT EXISTS product_versions (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id   text NOT NULL,
    category     text NOT NULL,
    brand        text NOT NULL,
    price_cents  bigint NOT NULL,
    valid_from   timestamptz(3) NOT NULL,
    published_at timestamptz(3),
    sent         boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS product_versions_by_key ON product_versions (product_id, valid_from);
CREATE INDEX IF NOT EXISTS product_versions_unsent ON product_versions (seq) WHERE NOT sent;

CREATE TABLE IF NOT EXISTS profile_versions (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      text NOT NULL,
    country      text NOT NULL,
    segment      text NOT NULL,
    valid_from   timestamptz(3) NOT NULL,
    published_at timestamptz(3),
    sent         boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS profile_versions_by_key ON profile_versions (user_id, valid_from);
CREATE INDEX IF NOT EXISTS profile_versions_unsent ON profile_versions (seq) WHERE NOT sent;

-- A change is valid from when it is made, unless the statement says from when.
CREATE OR REPLACE FUNCTION date_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.valid_from = OLD.valid_from THEN
        NEW.valid_from := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;

-- The sequence number is drawn while the row's lock is held: for one key, it follows the order of commits.
CREATE OR REPLACE FUNCTION record_product() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO product_versions (product_id, category, brand, price_cents, valid_from)
    VALUES (NEW.product_id, NEW.category, NEW.brand, NEW.price_cents, NEW.valid_from);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION record_profile() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO profile_versions (user_id, country, segment, valid_from)
    VALUES (NEW.user_id, NEW.country, NEW.segment, NEW.valid_from);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER a_date_change BEFORE UPDATE ON products
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION date_change();
CREATE OR REPLACE TRIGGER record_insert AFTER INSERT ON products
    FOR EACH ROW EXECUTE FUNCTION record_product();
CREATE OR REPLACE TRIGGER record_update AFTER UPDATE ON products
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION record_product();

CREATE OR REPLACE TRIGGER a_date_change BEFORE UPDATE ON profiles
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION date_change();
CREATE OR REPLACE TRIGGER record_insert AFTER INSERT ON profiles
    FOR EACH ROW EXECUTE FUNCTION record_profile();
CREATE OR REPLACE TRIGGER record_update AFTER UPDATE ON profiles
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION record_profile();
