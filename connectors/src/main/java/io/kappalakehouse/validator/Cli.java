package io.kappalakehouse.validator;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * The validator over pipes, so that the parity tests can hold it against its Python twin. A line in, a line out, columns
 * by tabs, bytes in Base64, {@code -} for null:
 *
 * <pre>
 * validate TOPIC KEY VALUE ARRIVAL_MS       ->  valid FIELD...     a string as s:BASE64, a number as i:DIGITS
 *                                               REASON FIELD
 * hash     TOPIC PARTITION OFFSET VALUE     ->  NUMBER
 * </pre>
 */
public final class Cli {

  private Cli() {}

  public static void main(String[] args) throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.US_ASCII);
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] columns = line.split("\t", -1);
      out.println(
          switch (columns[0]) {
            case "validate" -> print(
                Validator.of(columns[1]).validate(bytes(columns[2]), bytes(columns[3]), Long.parseLong(columns[4])));
            case "hash" -> String.valueOf(
                RecordHash.of(columns[1], Integer.parseInt(columns[2]), Long.parseLong(columns[3]), bytes(columns[4])));
            default -> throw new IllegalArgumentException("unknown command: " + columns[0]);
          });
    }
  }

  private static byte[] bytes(String column) {
    return column.equals("-") ? null : Base64.getDecoder().decode(column);
  }

  private static String print(Verdict verdict) {
    if (!verdict.isValid()) {
      return verdict.reason().wire() + "\t" + (verdict.field() == null ? "-" : verdict.field());
    }
    StringBuilder line = new StringBuilder("valid");
    for (Object value : verdict.values()) {
      line.append('\t');
      if (value == null) {
        line.append('-');
      } else if (value instanceof String text) {
        line.append("s:").append(Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8)));
      } else {
        line.append("i:").append(value);
      }
    }
    return line.toString();
  }
}
