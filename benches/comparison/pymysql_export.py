"""What a home-made script does: a server-side cursor of PyMySQL and the csv module."""

import csv
import os
import sys
from urllib.parse import urlsplit

import pymysql
import pymysql.cursors

url = urlsplit(os.environ["DATABASE_URL"])
connection = pymysql.connect(
    host=url.hostname, port=url.port, user=url.username, password=url.password,
    database=url.path[1:], charset="utf8mb4", cursorclass=pymysql.cursors.SSCursor)
with connection.cursor() as cursor, open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    cursor.execute(sys.argv[2])
    writer.writerow([column[0] for column in cursor.description])
    writer.writerows(cursor)
