-- The tables of the comparison, for MariaDB and MySQL alike. @scale is 1 for
-- the whole size, 10 for a tenth.

CREATE TABLE digits (d INT);
INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE VIEW numbers AS
SELECT a.d * 1000000 + b.d * 100000 + c.d * 10000 + d.d * 1000 + e.d * 100 + f.d * 10 + g.d AS n
FROM digits a JOIN digits b JOIN digits c JOIN digits d JOIN digits e JOIN digits f JOIN digits g;

-- Twelve columns of the types that shops have.
CREATE TABLE orders (
    id INT UNSIGNED PRIMARY KEY, customer_id BIGINT NOT NULL, article CHAR(8) NOT NULL, amount SMALLINT NOT NULL,
    price DECIMAL(10,2) NOT NULL, weight DOUBLE NOT NULL, express TINYINT(1) NOT NULL,
    status ENUM('new', 'paid', 'sent') NOT NULL, ordered_at DATETIME NOT NULL, shipped_on DATE,
    city VARCHAR(40), note VARCHAR(80));
INSERT INTO orders
SELECT n + 1, n * 7919 % 2000000, LPAD(n % 50000, 8, '0'), 1 + n % 9, 0.99 + n % 50000 / 100, n % 977 / 7, n % 10 = 0,
    ELT(1 + n % 3, 'new', 'paid', 'sent'), '2025-01-01' + INTERVAL n * 7 SECOND,
    IF(n % 3 = 2, '2025-01-02' + INTERVAL n * 7 SECOND, NULL), ELT(1 + n % 4, 'Oslo', 'Łódź', '東京', NULL),
    ELT(1 + n % 5, NULL, '', 'leave at the door, please', 'she said "ring twice"', 'call before you come')
FROM numbers WHERE n < 3000000 / @scale;

-- For a link with a long delay.
CREATE TABLE near LIKE orders;
INSERT INTO near SELECT * FROM orders WHERE id <= 200000 / @scale;

CREATE TABLE narrow (id INT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL);
INSERT INTO narrow SELECT n, n * 37 % 1000000, -n FROM numbers WHERE n < 5000000 / @scale;

-- 3.6 KB of prose a row, with what CSV, TSV and JSON have to quote or escape.
CREATE TABLE wide (id INT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO wide
SELECT n, REPEAT(CONCAT(n, ': The quick brown fox, who was not lazy, said "jump" over the dog; ',
    ELT(1 + n % 3, 'plain words and more of them', 'a tab\tand a line\nend, twice\n', 'größere Wörter, naïve café'),
    ' and it went on like this for the rest of a long evening in the country.\n'), 21)
FROM numbers WHERE n < 200000 / @scale;
