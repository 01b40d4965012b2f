package io.kappalakehouse.validator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class ContractsTest {

  @Test
  void unknownTopicNamesTheKnownOnes() {
    Exception error = assertThrows(IllegalArgumentException.class, () -> Contracts.of("shop.click"));
    assertTrue(error.getMessage().contains("shop.clicks"), error.getMessage());
  }

  @Test
  void tablesAreNamedByTheirTopics() {
    assertEquals("clicks", Contracts.of("shop.clicks").table());
  }
}
