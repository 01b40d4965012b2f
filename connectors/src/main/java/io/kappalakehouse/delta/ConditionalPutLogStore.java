package io.kappalakehouse.delta;

import io.delta.storage.HadoopFileSystemLogStore;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.util.Iterator;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSDataOutputStreamBuilder;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.s3a.RemoteFileChangedException;

/**
 * Delta's log on S3, for several writers: a commit file is created by conditional put ({@code If-None-Match: *}), so
 * that of all writers of one version exactly one wins, whatever engine or machine they run on.
 *
 * <p>The answer to a put may get lost after the put was carried out. S3A, or we, then put again, and are refused by
 * our own file. So each write gives its object an id of its own as metadata, and after any failure the id that stands
 * there tells whose commit it is. The id and not the content decides: two writers' contents may be equal.
 *
 * <p>Listing needs no cache of what was written: S3 and MinIO list it at once.
 */
public final class ConditionalPutLogStore extends HadoopFileSystemLogStore {
  /** Metadata of a commit file: which call of {@link #write} put it there. */
  static final String WRITE_ID = "delta-write-id";

  private static final String CONDITIONAL = "fs.option.create.conditional.overwrite";
  private static final String METADATA = "fs.s3a.create.header.";
  private static final String STORED_METADATA = "header.";
  /** Of a put that was refused for the sake of a file which is there no more. */
  private static final int ATTEMPTS = 5;

  private static final long PAUSE_MILLIS = 100;

  public ConditionalPutLogStore(Configuration configuration) {
    super(configuration);
  }

  /**
   * Writes a log file; with {@code overwrite} false, only if there is none.
   *
   * @throws FileAlreadyExistsException another writer's file is there
   * @throws IOException S3 refused or failed beyond S3A's retries. The write was not carried out, or, where the message
   *     says so, whether it was is not known: who repeats it at another version must look first.
   */
  @Override
  public void write(Path path, Iterator<String> actions, Boolean overwrite, Configuration configuration)
      throws IOException {
    FileSystem files = path.getFileSystem(configuration);
    byte[] content = content(actions);
    if (overwrite) {
      close(files.create(path, true), content);
      return;
    }
    String id = UUID.randomUUID().toString();
    for (int attempt = 1; ; attempt++) {
      try {
        put(files, path, content, id);
        return;
      } catch (AccessDeniedException refused) {
        throw refused;
      } catch (IOException failure) {
        Optional<String> found = standing(files, path, failure);
        if (found.isPresent()) {
          if (found.get().equals(id)) {
            return;
          }
          throw new FileAlreadyExistsException(path.toString());
        }
        // Everything else that is temporary, 500 and 503 among it, S3A itself has tried for long.
        if (attempt == ATTEMPTS || !(failure instanceof RemoteFileChangedException)) {
          throw failure;
        }
        pause(attempt);
      }
    }
  }

  private static byte[] content(Iterator<String> actions) {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    actions.forEachRemaining(action -> content.writeBytes((action + "\n").getBytes(StandardCharsets.UTF_8)));
    return content.toByteArray();
  }

  private static void put(FileSystem files, Path path, byte[] content, String id) throws IOException {
    // Options that a file system doesn't know are refused here: never a commit without its condition.
    FSDataOutputStreamBuilder<?, ?> file = files.createFile(path).overwrite(false).recursive();
    file.must(CONDITIONAL, true);
    file.must(METADATA + WRITE_ID, id);
    close(file.build(), content);
  }

  /** Closing puts the object, and must not happen after a failed write: no try-with-resources. */
  private static void close(FSDataOutputStream file, byte[] content) throws IOException {
    file.write(content);
    file.close();
  }

  @Override
  public Boolean isPartialWriteVisible(Path path, Configuration configuration) {
    return false;
  }

  /** The id of the commit file at {@code path}: empty if there is no file, "" if its writer left none. */
  private static Optional<String> standing(FileSystem files, Path path, IOException failure) throws IOException {
    // A writer that is being stopped is interrupted, and would not get an answer to this question either.
    boolean interrupted = Thread.interrupted();
    try {
      byte[] id = files.getXAttrs(path).get(STORED_METADATA + WRITE_ID);
      return Optional.of(id == null ? "" : new String(id, StandardCharsets.UTF_8));
    } catch (java.io.FileNotFoundException missing) {
      return Optional.empty();
    } catch (IOException unanswered) {
      IOException unknown = new IOException("cannot tell whether this commit was written: " + path, failure);
      unknown.addSuppressed(unanswered);
      throw unknown;
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private static void pause(int attempt) throws InterruptedIOException {
    try {
      Thread.sleep(ThreadLocalRandom.current().nextLong(PAUSE_MILLIS << attempt));
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("interrupted between two attempts to commit");
    }
  }
}
