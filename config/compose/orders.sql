-- Some orders to export: run once by the database images of docker-compose.yml.
CREATE TABLE orders (
    id INT UNSIGNED PRIMARY KEY,
    customer VARCHAR(40),
    total DECIMAL(10,2) NOT NULL,
    ordered_at DATETIME NOT NULL
);
INSERT INTO orders
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
SELECT n, ELT(1 + n % 4, 'Ann', 'Łucja', '漢', NULL), n * 7 % 10000 / 100, '2026-01-01' + INTERVAL n MINUTE
FROM numbers;
