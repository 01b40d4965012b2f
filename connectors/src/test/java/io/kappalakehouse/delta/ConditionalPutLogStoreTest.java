package io.kappalakehouse.delta;

import static io.kappalakehouse.delta.FaultyS3.Fault.DENIED;
import static io.kappalakehouse.delta.FaultyS3.Fault.INTERNAL_ERROR;
import static io.kappalakehouse.delta.FaultyS3.Fault.LOST;
import static io.kappalakehouse.delta.FaultyS3.Fault.REFUSED;
import static io.kappalakehouse.delta.FaultyS3.Fault.SLOW_DOWN;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConditionalPutLogStoreTest {
  private static final String KEY = "/lake/table/_delta_log/00000000000000000001.json";
  private static final Path COMMIT = new Path("s3a:/" + KEY);

  private FaultyS3 s3;
  private Configuration configuration;

  @BeforeEach
  void start() throws IOException {
    s3 = new FaultyS3();
    configuration = s3.configuration();
  }

  @AfterEach
  void stop() {
    s3.close();
  }

  @Test
  void aCommitIsWrittenOnceAndWhole() throws IOException {
    write("{\"commitInfo\":{}}", "{\"add\":{\"path\":\"é\"}}");
    assertEquals("{\"commitInfo\":{}}\n{\"add\":{\"path\":\"é\"}}\n", s3.text(KEY));
    assertEquals(List.of(KEY), s3.carriedOut);
  }

  @Test
  void aStrangersCommitAtTheVersionIsLeftAlone() throws IOException {
    write("first");
    assertThrows(FileAlreadyExistsException.class, () -> write("second"));
    assertEquals("first\n", s3.text(KEY));
  }

  @Test
  void aStrangersCommitWithTheSameContentIsNotTakenForOurs() throws IOException {
    write("same");
    assertThrows(FileAlreadyExistsException.class, () -> write("same"));
    assertEquals(List.of(KEY), s3.carriedOut);
  }

  @Test
  void aStrangersCommitThatCameBetweenLookingAndPuttingIsNotOverwritten() throws IOException {
    s3.objects.put(KEY, new FaultyS3.Stored("rust".getBytes(), Map.of()));
    s3.hidden = true;
    assertThrows(FileAlreadyExistsException.class, () -> write("ours"));
    assertEquals("rust", s3.text(KEY));
  }

  @Test
  void whatMayBeOverwrittenIs() throws IOException {
    write("first");
    new ConditionalPutLogStore(configuration).write(COMMIT, List.of("second").iterator(), true, configuration);
    assertEquals("second\n", s3.text(KEY));
  }

  @Test
  void aCommitWhoseAnswerWasLostIsRecognisedAndNotRepeated() throws IOException {
    s3.willShow(LOST);
    write("ours");
    assertEquals(List.of(KEY), s3.carriedOut);
  }

  @Test
  void aCommitThatS3FailedToTakeIsTriedAgain() throws IOException {
    s3.willShow(INTERNAL_ERROR, SLOW_DOWN, SLOW_DOWN, INTERNAL_ERROR);
    write("ours");
    assertEquals("ours\n", s3.text(KEY));
    assertEquals(List.of(KEY), s3.carriedOut);
  }

  @Test
  void aCommitThatWasRefusedForAFileWhichIsGoneIsTriedAgain() throws IOException {
    s3.willShow(REFUSED);
    write("ours");
    assertEquals(List.of(KEY), s3.carriedOut);
  }

  @Test
  void s3ThatFailsForLongIsAnErrorAndNothingIsWritten() {
    s3.willShow(Collections.nCopies(100, INTERNAL_ERROR).toArray(FaultyS3.Fault[]::new));
    IOException error = assertThrows(IOException.class, () -> write("ours"));
    assertTrue(error.getMessage().contains("500"), error.getMessage());
    assertEquals(Map.of(), s3.objects);
  }

  @Test
  void wrongCredentialsAreAnErrorAtOnce() {
    s3.willShow(DENIED);
    assertThrows(AccessDeniedException.class, () -> write("ours"));
    assertEquals(Map.of(), s3.objects);
  }

  @Test
  void anAnswerThatStaysLostIsNeitherASuccessNorAConflict() {
    s3.willShow(LOST);
    s3.thenFallsSilent();
    IOException error = assertThrows(IOException.class, () -> write("ours"));
    assertTrue(error.getMessage().startsWith("cannot tell whether this commit was written: " + COMMIT));
  }

  @Test
  void aFileSystemWithoutConditionalPutIsRefused(@TempDir java.nio.file.Path directory) {
    Path local = new Path(directory.resolve("00000000000000000001.json").toUri());
    assertThrows(
        IllegalArgumentException.class,
        () -> new ConditionalPutLogStore(configuration).write(local, List.of("a").iterator(), false, configuration));
    assertEquals(0, directory.toFile().list().length);
  }

  @Test
  void s3aWithoutConditionalPutIsRefused() {
    configuration.setBoolean("fs.s3a.create.conditional.enabled", false);
    assertThrows(Exception.class, () -> write("ours"));
    assertEquals(Map.of(), s3.objects);
  }

  private void write(String... actions) throws IOException {
    new ConditionalPutLogStore(configuration).write(COMMIT, List.of(actions).iterator(), false, configuration);
  }
}
