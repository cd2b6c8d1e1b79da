-- the tables, with what is in them on a Monday
CREATE TABLE stock (sku TEXT, shelf TEXT, pieces INTEGER);
CREATE TABLE suppliers (sku TEXT, name TEXT, price REAL, days INTEGER);
CREATE TABLE sales (sku TEXT, week INTEGER, sold INTEGER);

INSERT INTO stock VALUES ('L-1', 'A3', 14), ('L-1', 'B1', 6), ('L-2', 'A1', 80);
INSERT INTO suppliers VALUES
  ('L-1', 'Berg', 12.5, 7),
  ('L-1', 'Dahl', 11.9, 10),
  ('L-1', 'Ahrens', 13.0, 3),
  ('L-1', 'Voss', 9.9, 30);
INSERT INTO sales VALUES ('L-1', 1, 40), ('L-1', 2, 48), ('L-2', 1, 3);
