package io.kappalakehouse.flink.delta;

import io.delta.kernel.Snapshot;
import io.delta.kernel.Transaction;
import io.delta.kernel.TransactionCommitResult;
import io.delta.kernel.commit.CommitFailedException;
import io.delta.kernel.data.Row;
import io.delta.kernel.engine.Engine;
import io.delta.kernel.exceptions.KernelEngineException;
import io.delta.kernel.exceptions.MaxCommitRetryLimitReachedException;
import io.delta.kernel.hook.PostCommitHook;
import io.delta.kernel.hook.PostCommitHook.PostCommitHookType;
import io.delta.kernel.internal.util.Utils;
import io.delta.kernel.utils.CloseableIterable;
import java.io.IOException;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.util.TemporaryClassLoaderContext;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Puts each checkpoint's files into the table, once. Flink calls it when a checkpoint is complete, and again for the same
 * one after a failure; each commit carries {@code txn(appId, checkpoint)}, and a table that has seen that number or a
 * later one takes it no more. The cases:
 *
 * <ul>
 *   <li>The job dies before the commit: it is repeated from the checkpoint's state.
 *   <li>The job dies after the commit, or its answer is lost: the repeat finds its number in the table.
 *   <li>Another writer takes the version: the table is read again, and with it whether an older self, thought dead, has
 *       just written this very checkpoint. So no attempt is rebased without that look.
 *   <li>The store fails for longer than the file system tries: the error ends the job's run, and the restored one commits.
 *   <li>The commit was pending for so long that vacuum has removed its files: it is refused, see {@link PendingFiles}.
 * </ul>
 *
 * Flink commits checkpoints in order and does not go on after a failure, so a later number is never there before an
 * earlier one.
 */
final class DeltaCommitter implements Committer<Commit> {
  private static final Logger LOG = LoggerFactory.getLogger(DeltaCommitter.class);
  /** That other writers may win in a row. */
  private static final int ATTEMPTS = 100;

  private static final int PAUSE_MILLIS = 50;
  private static final int LONGEST_PAUSE_MILLIS = 2000;

  private final TargetTable table;

  DeltaCommitter(TargetTable table) {
    this.table = table;
  }

  @Override
  public void commit(Collection<CommitRequest<Commit>> requests) throws IOException, InterruptedException {
    try (TemporaryClassLoaderContext lasting = TargetTable.lastingClassLoader()) {
      for (CommitRequest<Commit> request : requests) {
        if (!commit(request.getCommittable())) {
          request.signalAlreadyCommitted();
        }
      }
    }
  }

  /** Whether this call has written it; false: the table had it. */
  boolean commit(Commit commit) throws IOException, InterruptedException {
    Engine engine = table.engine();
    List<Row> actions = null;
    for (int attempt = 1; ; attempt++) {
      Snapshot snapshot = table.open();
      if (snapshot.getLatestTransactionVersion(engine, commit.appId()).orElse(-1L) >= commit.checkpoint()) {
        LOG.info("{} has checkpoint {} of {} already", table.path(), commit.checkpoint(), commit.appId());
        return false;
      }
      Transaction transaction =
          TargetTable.append(snapshot)
              .withTransactionId(commit.appId(), commit.checkpoint())
              .withMaxRetries(0)
              .build(engine);
      if (actions == null) {
        // After the look for our number: what was committed long ago may be compacted, and its files gone.
        actions = pending(commit, snapshot);
      }
      try {
        follow(engine, transaction.commit(engine, rows(actions)));
        return true;
      } catch (MaxCommitRetryLimitReachedException failure) {
        boolean conflict = failure.getCause() instanceof CommitFailedException why && why.isConflict();
        if (!conflict || attempt == ATTEMPTS) {
          throw refused(commit, failure);
        }
        Thread.sleep(ThreadLocalRandom.current().nextInt(Math.min(PAUSE_MILLIS * attempt, LONGEST_PAUSE_MILLIS)));
      } catch (KernelEngineException unanswered) {
        // Kernel reads the log once more to report what failed, and what comes out of it is this.
        throw refused(commit, unanswered);
      }
    }
  }

  private List<Row> pending(Commit commit, Snapshot snapshot) throws IOException {
    try {
      return new PendingFiles(table, commit).actions(snapshot);
    } catch (PendingFiles.FilesGoneException gone) {
      throw gone;
    } catch (IOException failure) {
      throw refused(commit, failure);
    }
  }

  private IOException refused(Commit commit, Exception why) {
    return new IOException(
        "checkpoint %d could not be committed to %s".formatted(commit.checkpoint(), table.path()), why);
  }

  private static CloseableIterable<Row> rows(List<Row> rows) {
    return CloseableIterable.inMemoryIterable(Utils.toCloseableIterator(rows.iterator()));
  }

  /** Delta's own checkpoints, without which readers would replay ever longer logs. A later commit makes up for one. */
  private static void follow(Engine engine, TransactionCommitResult committed) {
    for (PostCommitHook hook : committed.getPostCommitHooks()) {
      if (hook.getType() == PostCommitHookType.CHECKPOINT) {
        try {
          hook.threadSafeInvoke(engine);
        } catch (IOException | RuntimeException failure) {
          LOG.warn("no checkpoint of the log was written at version {}", committed.getVersion(), failure);
        }
      }
    }
  }

  @Override
  public void close() {}
}
