"""Spark's log store in a process of its own: threads that claim versions of one Delta log at the same time.

``python -m tests.integration.tables.log_store_race NAME FOLDER THREADS BYTES`` says ``ready``, and answers each line,
a version, with the list of those threads, ``NAME/THREAD``, whose commit the store took.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from py4j.protocol import Py4JJavaError

from jobs.spark_session import build_session
from lakehouse.settings import load_settings

LOST = "java.nio.file.FileAlreadyExistsException"
PART_BYTES = 5 * 1024 * 1024
"""The smallest that S3 allows: a content beyond it goes up in parts."""


def main(name: str, folder: str, threads: int, size: int) -> None:
    settings = load_settings()
    spark = build_session(settings, "race")
    jvm: Any = spark._jvm
    session: Any = spark._jsparkSession
    configuration = session.sessionState().newHadoopConf()
    for key in ("fs.s3a.multipart.size", "fs.s3a.multipart.threshold"):
        configuration.set(key, str(PART_BYTES))
    store = jvm.org.apache.spark.sql.delta.storage.LogStore.apply(session)
    padding = "x" * size

    def claim(thread: str, version: int) -> bool:
        path = jvm.org.apache.hadoop.fs.Path(f"s3a://{settings.bucket}/{folder}/_delta_log/{version:020}.json")
        lines = jvm.scala.jdk.javaapi.CollectionConverters.asScala(jvm.java.util.List.of(thread, padding).iterator())
        try:
            store.write(path, lines, False, configuration)
        except Py4JJavaError as error:
            if error.java_exception.getClass().getName() != LOST:
                raise
            return False
        return True

    names = [f"{name}/{thread}" for thread in range(threads)]
    print("ready", flush=True)
    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            won = pool.map(partial(claim, version=int(line)), names)
            print(json.dumps([thread for thread, taken in zip(names, won, strict=True) if taken]), flush=True)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
