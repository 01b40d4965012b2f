package io.kappalakehouse.delta;

import io.delta.storage.LocalLogStore;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;

/**
 * Delta's log on a local disk, for several writers: a commit file appears whole by a hard link, which the kernel makes
 * only where there is none. Delta's own stores look first and rename then, which is exclusive only within one store:
 * the second of two writers replaced the first one's commit.
 */
public final class LinkLogStore extends LocalLogStore {
  public LinkLogStore(Configuration configuration) {
    super(configuration);
  }

  /**
   * Writes a log file; with {@code overwrite} false, only if there is none.
   *
   * @throws FileAlreadyExistsException another writer's file is there
   */
  @Override
  public void write(Path path, Iterator<String> actions, Boolean overwrite, Configuration configuration)
      throws IOException {
    if (overwrite) {
      super.write(path, actions, true, configuration);
      return;
    }
    List<String> lines = new ArrayList<>();
    actions.forEachRemaining(lines::add);
    java.nio.file.Path target = java.nio.file.Path.of(path.toUri().getPath());
    java.nio.file.Path whole = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".tmp");
    try {
      Files.write(whole, lines, StandardCharsets.UTF_8);
      Files.createLink(target, whole);
    } finally {
      Files.deleteIfExists(whole);
    }
  }
}
