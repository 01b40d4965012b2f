package io.kappalakehouse.delta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.apache.hadoop.conf.Configuration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LinkLogStoreTest {
  private static final int WRITERS = 4;

  @TempDir Path log;

  @Test
  void ofWritersOfOneVersionOneWinsAndItsContentStays() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(WRITERS);
    try {
      for (int version = 0; version < 200; version++) {
        Path commit = log.resolve(version + ".json");
        List<Callable<Boolean>> writers = new ArrayList<>();
        for (int writer = 0; writer < WRITERS; writer++) {
          String content = "writer " + writer;
          writers.add(() -> wins(commit, content));
        }
        List<String> winners = new ArrayList<>();
        List<Future<Boolean>> results = threads.invokeAll(writers);
        for (int writer = 0; writer < WRITERS; writer++) {
          if (results.get(writer).get()) {
            winners.add("writer " + writer);
          }
        }
        assertEquals(1, winners.size());
        assertEquals(winners, Files.readAllLines(commit));
      }
    } finally {
      threads.shutdownNow();
    }
    try (Stream<Path> files = Files.list(log)) {
      assertEquals(200, files.count(), "nothing but commits is left");
    }
  }

  @Test
  void whoAsksToOverwriteDoes() throws IOException {
    Path commit = log.resolve("0.json");
    write(commit, "first", false);
    assertThrows(FileAlreadyExistsException.class, () -> write(commit, "second", false));
    write(commit, "third", true);
    assertEquals(List.of("third"), Files.readAllLines(commit));
  }

  private static boolean wins(Path commit, String content) throws IOException {
    try {
      write(commit, content, false);
      return true;
    } catch (FileAlreadyExistsException lost) {
      return false;
    }
  }

  /** As its users do: each with a store of its own. */
  private static void write(Path commit, String content, boolean overwrite) throws IOException {
    Configuration configuration = new Configuration();
    new LinkLogStore(configuration)
        .write(new org.apache.hadoop.fs.Path(commit.toUri()), List.of(content).iterator(), overwrite, configuration);
  }
}
